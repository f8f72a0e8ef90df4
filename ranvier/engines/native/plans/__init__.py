"""How contractions are cut into tiles, panels and blocks: plain data, without emission."""
