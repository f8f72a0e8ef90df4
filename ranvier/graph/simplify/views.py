"""Views: chains of movement ops become one, and those that move nothing disappear.

Canonical order, from the inside out: slice or transpose, reshape, broadcast. So a broadcast
moves outwards through the other movements, which then work on the smaller tensor. A
broadcast's source has no leading axis of length 1.
"""

from __future__ import annotations

from math import prod

from ranvier.graph import functions as f
from ranvier.graph.ops.movement import (
    BroadcastTo,
    Concatenate,
    Flip,
    Pad,
    Reshape,
    Slice,
    Transpose,
)
from ranvier.graph.simplify.rules import (
    RulePass,
    axis_groups,
    full,
    is_plus_zero,
    padded_source,
    rebroadcast,
    stripped,
    uniform,
)
from ranvier.graph.tensor import Shape, Tensor, apply

# ---------------------------------------------------------------- reshape and transpose


def reshape_reshape(tensor: Tensor) -> Tensor | None:
    """The last of several reshapes decides; one to the same shape does nothing."""
    (source,) = tensor.inputs
    if isinstance(source.op, Reshape):
        return f.reshape(source.inputs[0], tensor.shape)
    return source if source.shape == tensor.shape else None


def reshape_broadcast(tensor: Tensor) -> Tensor | None:
    """reshape(broadcast(x)) = broadcast(reshape(x)) where only axes of length 1 come or go."""
    (source,) = tensor.inputs
    if not isinstance(source.op, BroadcastTo):
        return None
    padded = padded_source(source)
    if prod(padded) == 1:
        return rebroadcast(source.inputs[0], (), tensor.shape)
    if [n for n in source.shape if n != 1] != [n for n in tensor.shape if n != 1]:
        return None
    lengths = iter([n for n, m in zip(padded, source.shape, strict=True) if m != 1])
    aligned = tuple(1 if m == 1 else next(lengths) for m in tensor.shape)
    return rebroadcast(source.inputs[0], aligned, tensor.shape)


def transpose_transpose(tensor: Tensor) -> Tensor | None:
    """Two transposes are one; one that keeps the order of the longer axes is a reshape."""
    assert isinstance(tensor.op, Transpose)
    (source,) = tensor.inputs
    axes = tensor.op.axes
    if isinstance(source.op, Transpose):
        inner = source.op.axes
        return f.transpose(source.inputs[0], tuple(inner[a] for a in axes))
    moved = [a for a in axes if source.shape[a] != 1]
    return f.reshape(source, tensor.shape) if moved == sorted(moved) else None


def transpose_broadcast(tensor: Tensor) -> Tensor | None:
    """transpose(broadcast(x)) = broadcast(transpose(x))."""
    assert isinstance(tensor.op, Transpose)
    (source,) = tensor.inputs
    if not isinstance(source.op, BroadcastTo):
        return None
    small = f.transpose(f.reshape(source.inputs[0], padded_source(source)), tensor.op.axes)
    return rebroadcast(small, small.shape, tensor.shape)


def transpose_reshape(tensor: Tensor) -> Tensor | None:
    """transpose(reshape(x)) = reshape(transpose(x)) where whole axes of x change places."""
    assert isinstance(tensor.op, Transpose)
    (source,) = tensor.inputs
    if not isinstance(source.op, Reshape) or not prod(source.shape):
        return None
    (x,) = source.inputs
    groups = axis_groups(x.shape, source.shape)
    group_of = {a: g for g, (_, axes) in enumerate(groups) for a in axes if source.shape[a] > 1}
    moved = [a for a in tensor.op.axes if a in group_of]
    order = list(dict.fromkeys(group_of[a] for a in moved))
    if moved != [a for g in order for a in groups[g][1] if a in group_of]:
        return None
    order += [g for g in range(len(groups)) if g not in order]
    axes = tuple(a for g in order for a in groups[g][0])
    return f.reshape(f.transpose(x, axes), tensor.shape)


# ---------------------------------------------------------------- broadcast


def broadcast_broadcast(tensor: Tensor) -> Tensor | None:
    """Two broadcasts are one; one that repeats nothing is a reshape; no leading ones."""
    (source,) = tensor.inputs
    if isinstance(source.op, BroadcastTo):
        return f.broadcast_to(source.inputs[0], tensor.shape)
    if source.size == tensor.size:
        return f.reshape(source, tensor.shape)
    if stripped(source.shape) != source.shape:
        return rebroadcast(source, source.shape, tensor.shape)
    return None


# ---------------------------------------------------------------- slice


def slice_canonical(tensor: Tensor) -> Tensor | None:
    """A slice ends after its last element; one that takes everything does nothing."""
    assert isinstance(tensor.op, Slice)
    op, shape = tensor.op, tensor.inputs[0].shape
    if tensor.shape == shape and all(step == 1 for step in op.steps):
        return tensor.inputs[0]
    canonical = _slice_of(op.starts, op.steps, tensor.shape)
    return None if canonical == op else apply(canonical, *tensor.inputs)


def _slice_of(starts: tuple[int, ...], steps: tuple[int, ...], shape: Shape) -> Slice:
    """The canonical slice of a result `shape`: step 1 where there is nothing to step over."""
    starts = tuple(lo if n else 0 for lo, n in zip(starts, shape, strict=True))
    steps = tuple(step if n > 1 else 1 for step, n in zip(steps, shape, strict=True))
    stops = tuple(
        lo + (n - 1) * step + 1 if n else 0
        for lo, step, n in zip(starts, steps, shape, strict=True)
    )
    return Slice(starts, stops, steps)


def slice_slice(tensor: Tensor) -> Tensor | None:
    """Two slices are one."""
    assert isinstance(tensor.op, Slice)
    (source,) = tensor.inputs
    if not isinstance(source.op, Slice) or 0 in tensor.shape:
        return None
    inner, outer = source.op, tensor.op
    starts = tuple(
        a + step * b for a, step, b in zip(inner.starts, inner.steps, outer.starts, strict=True)
    )
    steps = tuple(a * b for a, b in zip(inner.steps, outer.steps, strict=True))
    return apply(_slice_of(starts, steps, tensor.shape), *source.inputs)


def slice_broadcast(tensor: Tensor) -> Tensor | None:
    """slice(broadcast(x)) = broadcast(slice(x))."""
    assert isinstance(tensor.op, Slice)
    (source,) = tensor.inputs
    if not isinstance(source.op, BroadcastTo) or 0 in tensor.shape:
        return None
    padded = padded_source(source)
    op = tensor.op
    ranges = zip(padded, op.starts, op.stops, op.steps, strict=True)
    chosen = [(0, 1, 1) if n == 1 else (lo, hi, step) for n, lo, hi, step in ranges]
    small = f.slice_axes(f.reshape(source.inputs[0], padded), *zip(*chosen, strict=True))
    return rebroadcast(small, small.shape, tensor.shape)


def slice_reshape(tensor: Tensor) -> Tensor | None:
    """slice(reshape(x)) = reshape(slice(x)) where only whole axes of x are cut."""
    assert isinstance(tensor.op, Slice)
    (source,) = tensor.inputs
    if not isinstance(source.op, Reshape) or not prod(tensor.shape):
        return None
    (x,) = source.inputs
    op = tensor.op
    starts, stops, steps = [0] * x.ndim, list(x.shape), [1] * x.ndim
    for axes, result_axes in axis_groups(x.shape, source.shape):
        cut = [a for a in result_axes if tensor.shape[a] != source.shape[a]]
        if not cut:
            continue
        long = [a for a in axes if x.shape[a] > 1]
        if len(long) > 1 or sum(source.shape[a] > 1 for a in result_axes) > 1:
            return None
        starts[long[0]], stops[long[0]] = op.starts[cut[0]], op.stops[cut[0]]
        steps[long[0]] = op.steps[cut[0]]
    return f.reshape(f.slice_axes(x, starts, stops, steps), tensor.shape)


def slice_concatenate(tensor: Tensor) -> Tensor | None:
    """A slice that lies within one piece of a concatenation is a slice of that piece."""
    assert isinstance(tensor.op, Slice)
    (source,) = tensor.inputs
    if not isinstance(source.op, Concatenate) or 0 in tensor.shape:
        return None
    op, axis, offset = tensor.op, source.op.axis, 0
    lo, hi = op.starts[axis], op.starts[axis] + (tensor.shape[axis] - 1) * op.steps[axis] + 1
    for piece in source.inputs:
        length = piece.shape[axis]
        if offset <= lo and hi <= offset + length:
            starts, stops = list(op.starts), list(op.stops)
            starts[axis], stops[axis] = lo - offset, hi - offset
            return f.slice_axes(piece, starts, stops, op.steps)
        offset += length
    return None


def slice_pad(tensor: Tensor) -> Tensor | None:
    """A slice without gaps of a padded tensor pads a slice, by less."""
    assert isinstance(tensor.op, Slice)
    (source,) = tensor.inputs
    if not isinstance(source.op, Pad) or any(step != 1 for step in tensor.op.steps):
        return None
    (data,) = source.inputs
    starts, stops, widths = [], [], []
    axes = zip(tensor.op.starts, tensor.op.stops, source.op.before, data.shape, strict=True)
    for lo, hi, before, n in axes:
        start, stop = max(lo - before, 0), min(hi - before, n)
        if start >= stop:
            return full(0, tensor)
        starts.append(start)
        stops.append(stop)
        widths.append((max(before - lo, 0), max(hi - before - n, 0)))
    return f.pad(f.slice_axes(data, starts, stops), widths)


# ---------------------------------------------------------------- pad, flip, concatenate


def pad_pad(tensor: Tensor) -> Tensor | None:
    """Two pads are one, no width is no pad, and zeros padded with zeros are zeros."""
    assert isinstance(tensor.op, Pad)
    (source,) = tensor.inputs
    before, after = tensor.op.before, tensor.op.after
    if source.shape == tensor.shape:
        return source
    if isinstance(source.op, Pad):
        before = tuple(a + b for a, b in zip(before, source.op.before, strict=True))
        after = tuple(a + b for a, b in zip(after, source.op.after, strict=True))
        return apply(Pad(before, after), *source.inputs)
    value = uniform(source)
    return full(0, tensor) if value is not None and is_plus_zero(value) else None


def flip_flip(tensor: Tensor) -> Tensor | None:
    """Two flips are one; axes that are short or repeated need none."""
    assert isinstance(tensor.op, Flip)
    (source,) = tensor.inputs
    if isinstance(source.op, Flip):
        return f.flip(source.inputs[0], sorted(set(tensor.op.axes) ^ set(source.op.axes)))
    lengths = padded_source(source) if isinstance(source.op, BroadcastTo) else source.shape
    axes = tuple(sorted(a for a in tensor.op.axes if lengths[a] > 1))
    return None if axes == tensor.op.axes else f.flip(source, axes)


def concatenate_parts(tensor: Tensor) -> Tensor | None:
    """Empty pieces of a concatenation are left out; a single piece stands for itself."""
    assert isinstance(tensor.op, Concatenate)
    parts = [part for part in tensor.inputs if part.shape[tensor.op.axis]]
    if not parts or (len(parts) == len(tensor.inputs) > 1):
        return None
    return parts[0] if len(parts) == 1 else apply(tensor.op, *parts)


views = RulePass(
    {
        Reshape: [reshape_reshape, reshape_broadcast],
        Transpose: [transpose_transpose, transpose_broadcast, transpose_reshape],
        BroadcastTo: [broadcast_broadcast],
        Slice: [
            slice_canonical,
            slice_slice,
            slice_broadcast,
            slice_reshape,
            slice_concatenate,
            slice_pad,
        ],
        Pad: [pad_pad],
        Flip: [flip_flip],
        Concatenate: [concatenate_parts],
    }
)
