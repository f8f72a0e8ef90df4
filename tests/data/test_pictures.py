"""Picture files: decoding, and the preparation of a picture for a network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_files import images, says, write_picture
from PIL import Image

from ranvier.data import load, picture
from ranvier.data.images import MNIST_MANNER, Manner, manner, read_image
from ranvier.data.paper import evened

GREY = images(1, 5, 7)[0]
COLOUR = np.stack(list(images(3, 5, 7)), axis=-1)

# ------------------------------------------------------------ decoding


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "pgm", "gif"])
def test_grey_files_have_one_channel(tmp_path: Path, suffix: str) -> None:
    found = read_image(write_picture(tmp_path / f"a.{suffix}", GREY))
    assert found.dtype == np.uint8
    assert found.shape == (5, 7, 1)
    assert np.array_equal(found[..., 0], GREY)


def test_colour_files_have_three(tmp_path: Path) -> None:
    found = read_image(write_picture(tmp_path / "a.png", COLOUR))
    assert np.array_equal(found, COLOUR)


def test_one_bit_and_sixteen_bits(tmp_path: Path) -> None:
    bits = GREY > 127
    assert np.array_equal(read_image(write_picture(tmp_path / "1.png", bits))[..., 0], bits * 255)
    words = GREY.astype(np.uint16) * 256 + 77
    assert np.array_equal(read_image(write_picture(tmp_path / "16.png", words))[..., 0], GREY)


def test_more_than_sixteen_bits(tmp_path: Path) -> None:
    floats = write_picture(tmp_path / "f.tif", GREY.astype(np.float32))
    assert np.array_equal(read_image(floats)[..., 0], GREY)
    small = write_picture(tmp_path / "i.tif", GREY.astype(np.int32))
    assert np.array_equal(read_image(small)[..., 0], GREY)
    large = write_picture(tmp_path / "l.tif", GREY.astype(np.int32) * 256 + 255)
    assert np.array_equal(read_image(large)[..., 0], GREY)


def test_palettes(tmp_path: Path) -> None:
    Image.fromarray(GREY).convert("P").save(tmp_path / "grey.png")
    assert np.array_equal(read_image(tmp_path / "grey.png")[..., 0], GREY)
    bands = np.zeros((4, 4, 3), np.uint8)
    bands[:2] = 255, 0, 0
    Image.fromarray(bands).quantize(4).save(tmp_path / "colour.png")
    assert np.array_equal(read_image(tmp_path / "colour.png"), bands)


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, 0] = 10, 20, 30, 255
    Image.fromarray(pixels, "RGBA").save(tmp_path / "a.png")
    found = read_image(tmp_path / "a.png")
    assert found[0, 0].tolist() == [10, 20, 30]
    assert found[1, 1].tolist() == [255, 255, 255]


def test_what_is_nearly_white_lies_on_black(tmp_path: Path) -> None:
    """White ink on transparency would be lost on white paper; the rest stays on white."""
    ink = np.zeros((40, 40), np.uint8)
    ink[10:30, 18:22] = 255
    ink[10:30, 17], ink[10:30, 22] = 128, 128  # a soft edge
    for name, colour in (("white", 255), ("pale", 235), ("black", 0), ("grey", 140)):
        pixels = np.full((40, 40, 4), colour, np.uint8)
        pixels[..., 3] = ink
        Image.fromarray(pixels, "RGBA").save(tmp_path / f"{name}.png")
        found = read_image(tmp_path / f"{name}.png")
        assert found[0, 0].tolist() == [0 if colour > 200 else 255] * 3, name
        assert found[20, 20].tolist() == [colour] * 3, name


def test_a_white_sheet_with_transparent_corners_stays_white(tmp_path: Path) -> None:
    pixels = np.full((40, 40, 4), 255, np.uint8)
    pixels[10:30, 18:22, :3] = 0
    pixels[:4, :4, 3] = pixels[-4:, -4:, 3] = 0
    Image.fromarray(pixels, "RGBA").save(tmp_path / "sheet.png")
    assert read_image(tmp_path / "sheet.png")[0, 0].tolist() == [255, 255, 255]


def test_the_camera_s_rotation_is_undone(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    Image.fromarray(GREY).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "a.png")[..., 0], np.rot90(GREY, -1))


def test_bad_picture_files(tmp_path: Path) -> None:
    with says(f"{tmp_path / 'no.png'}: there is no such file; check the path"):
        read_image(tmp_path / "no.png")
    text = tmp_path / "text.png"
    text.write_text("no picture")
    with says(f"{text}: not a picture that can be read; use PNG or JPEG"):
        read_image(text)
    cut = write_picture(tmp_path / "cut.png", images(1, 50, 50)[0])
    cut.write_bytes(cut.read_bytes()[:400])
    with pytest.raises(ValueError, match=r"cut\.png: the picture is damaged \(.*\); save it anew$"):
        read_image(cut)


def test_a_picture_with_too_many_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_picture(tmp_path / "a.png", GREY)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # half of what Pillow refuses from
    with says(f"{path}: the picture has too many pixels; make it smaller"):
        read_image(path)


# ------------------------------------------------------------ digits


def drawn(size: int = 100, ink: int = 0, paper: int = 255) -> np.ndarray:
    """An upright bar, left of the middle, on plain paper."""
    pixels = np.full((size, size), paper, np.uint8)
    pixels[20:80, 15:25] = ink
    return pixels


def test_a_digit_of_the_right_size_stays_as_it_is(tmp_path: Path) -> None:
    digits = load("mnist").test.inputs
    assert isinstance(digits, np.ndarray)
    for digit in digits[:20]:
        path = write_picture(tmp_path / "digit.png", digit[..., 0])
        assert np.array_equal(picture(path, (28, 28, 1)), digit)
        inverted = write_picture(tmp_path / "inverted.png", 255 - digit[..., 0])
        assert np.array_equal(picture(inverted, (28, 28, 1)), digit)


def test_an_enlarged_digit_comes_back_nearly(tmp_path: Path) -> None:
    """Drawn large, dark on light, off the centre, it is what the network learnt from."""
    digits = load("mnist").test.inputs
    assert isinstance(digits, np.ndarray)
    for digit in digits[:20, ..., 0]:
        large = np.pad(255 - np.kron(digit, np.ones((8, 8), np.uint8)), ((9, 90), (50, 3)), "edge")
        found = picture(write_picture(tmp_path / "large.png", large), (28, 28, 1))[..., 0]
        assert np.corrcoef(found.ravel(), digit.ravel())[0, 1] > 0.97  # a pixel off: 0.4 to 0.9


@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (255, 0), (60, 200), (180, 90)])
def test_ink_is_light_on_dark_and_centred(tmp_path: Path, ink: int, paper: int) -> None:
    path = write_picture(tmp_path / "bar.png", drawn(ink=ink, paper=paper))
    found = picture(path, (28, 28, 1))
    assert found.dtype == np.uint8
    assert found.max() == 255
    assert found[0].max() == 0
    mass = found[..., 0].astype(float)
    centre = [mass.sum(axis=1 - axis) @ (np.arange(28) + 0.5) / mass.sum() for axis in (0, 1)]
    assert np.all((np.array(centre) >= 14 - 1e-9) & (np.array(centre) < 15))  # as in MNIST
    assert np.flatnonzero(mass.any(axis=1)).tolist() == list(range(4, 24))  # 20 of 28 rows


def test_colour_becomes_grey(tmp_path: Path) -> None:
    red = np.zeros((28, 28, 3), np.uint8)
    red[10:20, 10:20, 0] = 200
    found = picture(write_picture(tmp_path / "red.png", red), (28, 28, 1))
    assert found[15, 15, 0] == 60  # 0.299 · 200
    assert found[0, 0, 0] == 0


def test_ink_can_be_told(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.png", np.full((4, 4), 200, np.uint8))
    assert picture(path, (4, 4, 1)).max() == 55
    assert picture(path, (4, 4, 1), ink="light").max() == 200
    assert picture(path, (4, 4, 1), ink="dark").max() == 55


def test_without_centring_the_whole_picture_is_fitted(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "bar.png", drawn()[:, :50])
    found = picture(path, (20, 20, 1), centre=False)[..., 0]
    assert found[:, :5].max() == found[:, 15:].max() == 0  # 10 columns of picture, 5 either side
    assert found[10, 5 + 3] > 200  # the bar at columns 15 to 25 of 50


def test_without_centring_no_grey_value_changes(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "bar.png", drawn(ink=90, paper=40))
    found = picture(path, (50, 50, 1), centre=False)
    assert found[0, 0, 0] == 40
    assert 85 <= found[25, 10, 0] <= 100  # resampling rings a little


def test_the_paper_that_the_network_knows(tmp_path: Path) -> None:
    dark = write_picture(tmp_path / "dark.png", drawn(size=28 * 4, ink=0, paper=255))
    light = write_picture(tmp_path / "light.png", drawn(size=28 * 4, ink=255, paper=0))
    for centre in (True, False):
        known = {
            paper: [picture(p, (28, 28, 1), centre=centre, paper=paper) for p in (dark, light)]
            for paper in ("dark", "light", None)
        }
        assert np.array_equal(*known["dark"])
        assert np.array_equal(*known["light"])
        assert np.array_equal(known["dark"][0], 255 - known["light"][0])
        whole = [picture(p, (28, 28, 1), centre=False, ink="light") for p in (dark, light)]
        assert np.array_equal(known[None], whole)
    asked = picture(dark, (28, 28, 1), centre=False, paper=None, ink="dark")
    assert np.array_equal(asked, picture(light, (28, 28, 1), centre=False))
    with says('paper is \'blue\'; use "dark", "light" or None'):
        picture(dark, (28, 28, 1), paper="blue")


def test_how_pictures_were_made_can_be_seen() -> None:
    digits = load("mnist").test.inputs
    assert isinstance(digits, np.ndarray)
    few = digits[:200]
    assert manner(few) == MNIST_MANNER
    assert manner(255 - few) == Manner("light", True)
    assert manner(np.roll(few, 3, axis=2)) == Manner("dark", False)
    assert manner(np.concatenate([few, 255 - few])) == Manner(None, False)
    assert manner(np.zeros((3, 5, 5, 1), np.uint8)) == Manner("dark", False)
    assert manner(images(40, 9, 9)[..., np.newaxis]) == Manner(None, False)


def test_a_blank_picture(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.png", np.full((9, 9), 255, np.uint8))
    with says(f"{path}: the picture is blank; use one with ink that differs from paper"):
        picture(path, (28, 28, 1))


# ------------------------------------------------------------ photographs


def photographed(digit: np.ndarray, *, dark: bool = True, seed: int = 0) -> np.ndarray:
    """A digit uint8 [28, 28] on a sheet that light falls on from one side, off the centre."""
    rng = np.random.default_rng(seed)
    ink = np.zeros((240, 320))
    ink[12:180, 140:308] = np.kron(digit / 255, np.ones((6, 6)))
    y, x = np.meshgrid(np.linspace(-1, 1, 240), np.linspace(-1, 1, 320), indexing="ij")
    light = 145 + 50 * x - 35 * y - 20 * (x * x + y * y)
    paper, on_paper = (1.0, -0.75) if dark else (0.35, 0.6)
    photo = light * (paper + on_paper * ink) + rng.normal(0, 5, ink.shape)
    return np.clip(photo, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("dark", [True, False])
def test_a_photograph_with_uneven_light(tmp_path: Path, dark: bool) -> None:
    digits = load("mnist").test.inputs
    assert isinstance(digits, np.ndarray)
    for number, digit in enumerate(digits[:8, ..., 0]):
        photo = photographed(digit, dark=dark, seed=number)
        found = picture(write_picture(tmp_path / "photo.png", photo), (28, 28, 1))[..., 0]
        places = [np.roll(found, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        alike = [np.corrcoef(each.ravel(), digit.ravel())[0, 1] for each in places]
        assert max(alike) > 0.95, number  # noise may move its centre by a pixel
        assert found[:2].max() == found[:, :2].max() == 0  # nothing is left of the light


def test_a_photograph_of_a_blank_sheet(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.png", photographed(np.zeros((28, 28))))
    with says(f"{path}: the picture is blank; use one with ink that differs from paper"):
        picture(path, (28, 28, 1))


def test_paper_of_one_grey_is_left_alone() -> None:
    plain = drawn(ink=60, paper=200)[..., np.newaxis]
    assert evened(plain) is plain
    rng = np.random.default_rng(0)
    noisy = np.clip(plain + rng.normal(0, 2, plain.shape), 0, 255).astype(np.uint8)
    assert evened(noisy) is noisy


def test_dim_paper_is_no_ink(tmp_path: Path) -> None:
    """Ink is what departs from the paper, be that darker than the middle of all greys."""
    dim = write_picture(tmp_path / "dim.png", drawn(ink=15, paper=95))
    clear = write_picture(tmp_path / "clear.png", drawn(ink=0, paper=255))
    assert np.array_equal(picture(dim, (28, 28, 1)), picture(clear, (28, 28, 1)))


# ------------------------------------------------------------ colour


def test_a_colour_picture_keeps_its_proportions(tmp_path: Path) -> None:
    pixels = np.zeros((10, 40, 3), np.uint8)
    pixels[:] = 200, 30, 90
    found = picture(write_picture(tmp_path / "a.png", pixels), (32, 32, 3))
    assert found.shape == (32, 32, 3)
    assert np.all(found == (200, 30, 90))  # the border's colour round the picture
    pixels[1:-1, 1:-1] = 0
    found = picture(write_picture(tmp_path / "a.png", pixels), (32, 32, 3))
    assert np.all(found[:12] == (200, 30, 90))
    assert np.all(found[20:] == (200, 30, 90))
    assert found[15:17, 4:28].max() < 20


def test_a_colour_picture_of_the_right_size_stays(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.png", COLOUR)
    assert np.array_equal(picture(path, (5, 7, 3)), COLOUR)


def test_a_grey_picture_for_a_colour_network(tmp_path: Path) -> None:
    found = picture(write_picture(tmp_path / "a.png", GREY), (5, 7, 3))
    assert np.array_equal(found, np.repeat(GREY[..., np.newaxis], 3, axis=2))


def test_bad_arguments(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.png", GREY)
    with says("a picture of shape (28, 28, 2): use (height, width, 1 or 3)"):
        picture(path, (28, 28, 2))
    with says('ink is \'blue\'; use "auto", "dark" or "light"'):
        picture(path, (28, 28, 1), ink="blue")
