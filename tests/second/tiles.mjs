/** Where tiles of a log stand, and which a longer log adds (C2SP tlog-tiles; docs/log.md). */

const WIDTH = 256;

/** A number in groups of three digits, each but the last after an `x`. */
export function numberPath(index) {
  const digits = String(index);
  const padded = digits.padStart(Math.ceil(digits.length / 3) * 3, "0");
  return padded.match(/.../g).map((group, i, all) => (i < all.length - 1 ? `x${group}` : group))
    .join("/");
}

/** The path of a tile; `level` is a number or "entries". */
export function tilePath(level, index, width) {
  const path = `tile/${level}/${numberPath(index)}`;
  return width === WIDTH ? path : `${path}.p/${width}`;
}

/** The tiles that a log of `newer` entries has and one of `older` has not. */
export function tileSet(older, newer) {
  const paths = [];
  for (const level of ["entries", 0, 1, 2, 3, 4, 5, 6]) {
    const unit = WIDTH ** (level === "entries" ? 0 : level);
    const [had, has] = [Math.floor(older / unit), Math.floor(newer / unit)];
    if (has === had) continue;
    for (let first = Math.floor(had / WIDTH) * WIDTH; first < has; first += WIDTH) {
      paths.push(tilePath(level, first / WIDTH, Math.min(WIDTH, has - first)));
    }
  }
  return paths;
}
