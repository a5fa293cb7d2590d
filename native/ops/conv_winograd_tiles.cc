#include "ops/conv_winograd_tiles.h"

#include <utility>

#include "ops/conv_epilogue.h"

namespace fovea {

namespace {

// `size` pixels from (h, w) on along both axes, `step` apart and cut to the image, in the first of its `blocks` blocks
// of channels.
WinogradWindow cut(int64_t image, int64_t blocks, int64_t h, int64_t w, int64_t size, int64_t step, int64_t height,
                   int64_t width) {
  const auto steps = [size, step](int64_t distance) {
    return static_cast<int>(std::min(size, distance <= 0 ? 0 : step == 1 ? distance : ceil_div(distance, step)));
  };
  WinogradWindow window{0, steps(-h), steps(height - h), steps(-w), steps(width - w)};
  if (window.row < window.row_end && window.column < window.column_end)
    window.offset = ((image * blocks * height + h + window.row * step) * width + w + window.column * step) * kBlock;
  return window;
}

// body(image, row, column) for each of the tiles [first, first + count), without a division for each.
template <class Body>
void each_tile(const WinogradTiles& grid, int64_t first, int64_t count, const Body& body) {
  const int64_t across = grid.columns.count(), down = grid.rows.count();
  int64_t column = first % across, row = first / across % down, image = first / across / down;
  for (int64_t i = 0; i < count; ++i) {
    body(image, row, column);
    if (++column == across) column = 0, ++row;
    if (row == down) row = 0, ++image;
  }
}

WinogradKind kind_of(const WinogradTiles& grid, int64_t row, int64_t column) {
  const bool short_row = grid.rows.is_short(row), short_column = grid.columns.is_short(column);
  return short_row ? short_column ? kShortTiles : kShortRows : short_column ? kShortColumns : kWholeTiles;
}

// body(place, image, row, column), likewise, the place being that in the order of kinds.
template <class Body>
void each_in_order(const WinogradTiles& grid, int64_t first, int64_t count, const Body& body) {
  WinogradOrder next = grid.order(first, count);
  each_tile(grid, first, count, [&](int64_t image, int64_t row, int64_t column) {
    body(next.begin[kind_of(grid, row, column)]++, image, row, column);
  });
}

}  // namespace

int64_t WinogradTiles::products() const {
  int64_t some = 0;
  for (unsigned left = short_points; left != 0; left &= left - 1) ++some;
  const auto along = [&](const WinogradTileAxis& axis) {
    return axis.is_short(axis.count() - 1) ? (axis.count() - 1) * points + some : axis.count() * points;
  };
  return images * along(rows) * along(columns);
}

WinogradOrder WinogradTiles::order(int64_t first, int64_t count) const {
  WinogradOrder order{};
  if (short_outputs == 0) {
    std::fill(order.begin + kWholeTiles + 1, order.begin + kWinogradKinds + 1, count);
    return order;
  }
  each_tile(*this, first, count,
            [&](int64_t, int64_t row, int64_t column) { ++order.begin[kind_of(*this, row, column) + 1]; });
  for (int kind = 0; kind < kWinogradKinds; ++kind) order.begin[kind + 1] += order.begin[kind];
  return order;
}

void WinogradTiles::windows(int64_t first, int64_t count, int64_t blocks, WinogradOrder::Range some,
                            WinogradWindow* windows) const {
  each_in_order(*this, first, count, [&](int64_t place, int64_t image, int64_t row, int64_t column) {
    if (place < some.first || place >= some.first + some.count) return;
    windows[place - some.first] = cut(image, blocks, rows.source_at(row), columns.source_at(column), rows.inputs,
                                      rows.dilation, rows.source, columns.source);
  });
}

void WinogradTiles::targets(int64_t first, int64_t count, int64_t blocks, WinogradTarget* targets) const {
  each_in_order(*this, first, count, [&](int64_t place, int64_t image, int64_t row, int64_t column) {
    targets[place] = cut(image, blocks, rows.dest_at(row), columns.dest_at(column), rows.outputs, rows.dilation,
                         rows.dest, columns.dest);
  });
}

namespace {

// Of each image the rows of pixels [begin, end) that pixels(row) gives for its first and its last row of tiles.
template <class Pixels>
void add_rows(const WinogradTiles& grid, int64_t first, int64_t count, int64_t height, int64_t width, Values from,
              int64_t blocks, int64_t all, Ahead* ahead, const Pixels& pixels) {
  if (count <= 0 || grid.dilated()) return;
  const int64_t across = grid.columns.count(), down = grid.rows.count();
  const int64_t line = first / across, last_line = (first + count - 1) / across;
  for (int64_t image = line / down; image <= last_line / down; ++image) {
    const int64_t begin = pixels(std::max(line, image * down) - image * down).first;
    const int64_t end = pixels(std::min(last_line - image * down, down - 1)).second;
    for (int64_t block = 0; block < blocks && begin < end; ++block) {
      const Values plane = from + (image * all + block) * height * width * kBlock;
      ahead->add(plane + begin * width * kBlock, plane + end * width * kBlock);
    }
  }
}

}  // namespace

void WinogradTiles::add_sources(int64_t first, int64_t count, Values from, int64_t blocks, int64_t all,
                                Ahead* ahead) const {
  add_rows(*this, first, count, rows.source, columns.source, from, blocks, all, ahead, [this](int64_t row) {
    const int64_t begin = rows.source_at(row);
    return std::pair(std::max<int64_t>(0, begin), std::min(rows.source, begin + rows.inputs));
  });
}

void WinogradTiles::add_targets(int64_t first, int64_t count, Values from, int64_t blocks, int64_t all,
                                Ahead* ahead) const {
  add_rows(*this, first, count, rows.dest, columns.dest, from, blocks, all, ahead,
           [this](int64_t row) { return std::pair(rows.dest_begin(row), rows.dest_end(row)); });
}

// Whole rows of tiles of one image are one part, and so are neighbours in a row that another task has begun or will
// end.
void finish_tiles(const WinogradTiles& grid, int64_t first_tile, int64_t tiles, int64_t first_block, int64_t blocks,
                  int64_t slot, const ConvEpilogue& epilogue) {
  const int64_t across = grid.columns.count(), down = grid.rows.count(), end = first_tile + tiles;
  for (int64_t block = first_block; block < first_block + blocks; ++block) {
    for (int64_t tile = first_tile; tile < end;) {
      const int64_t line = tile / across, first = tile % across, image = line / down;
      const int64_t whole = std::min((end - tile) / across, (image + 1) * down - line);
      const int64_t lines = first > 0 ? 1 : std::max<int64_t>(1, whole);
      const int64_t next = std::min(end, (line + lines) * across);
      const int64_t row = grid.rows.dest_begin(line % down), column = grid.columns.dest_begin(first);
      const int64_t row_end = grid.rows.dest_end(line % down + lines - 1);
      const int64_t column_end = grid.columns.dest_end((next - 1) % across);
      epilogue.finish({slot, image, block, row, row_end - row, column, column_end - column});
      tile = next;
    }
  }
}

namespace {

// body(kind, first, count) for each kind of tile that there is.
template <class Body>
void each_kind(const WinogradOrder& order, const Body& body) {
  for (int kind = 0; kind < kWinogradKinds; ++kind) {
    const WinogradOrder::Range range = order.kind(kind);
    if (range.count > 0) body(kind, range.first, static_cast<int>(range.count));
  }
}

}  // namespace

void WinogradPixelTransforms::input(Values from, const WinogradOrder& order, const WinogradWindow* windows,
                                    int64_t known, float* v, int64_t step) const {
  const WinogradPitch pitch = grid_.source_pitch();
  each_kind(order, [&](int kind, int64_t first, int count) {
    const int all = static_cast<int>(known - first);
    float* const to = v + first * kBlock;
    if (from.half())
      rounded_[kind].input(from.halves(), pitch, windows + first, count, all, to, step);
    else
      plain_[kind].input(from.floats(), pitch, windows + first, count, all, to, step);
  });
}

bool WinogradPixelTransforms::output(const float* product, int64_t step, const float* bias, bool relu, int64_t lanes,
                                     const WinogradOrder& order, const WinogradTarget* targets,
                                     MutableValues to) const {
  const WinogradPitch pitch = grid_.dest_pitch();
  const int some = static_cast<int>(std::min<int64_t>(kBlock, lanes));
  bool finite = true;
  each_kind(order, [&](int kind, int64_t first, int count) {
    const float* const from = product + first * kBlock;
    const WinogradTarget* const at = targets + first;
    const bool all = to.half() ? rounded_[kind].output(from, step, bias, relu, some, at, count, to.halves(), pitch)
                               : plain_[kind].output(from, step, bias, relu, some, at, count, to.floats(), pitch);
    if (!all) finite = false;
  });
  return finite;
}

void WinogradPixelTransforms::output_gradient(Values from, const WinogradOrder& order, const WinogradTarget* targets,
                                              float* u, int64_t step, float* total) const {
  const WinogradPitch pitch = grid_.dest_pitch();
  each_kind(order, [&](int kind, int64_t first, int count) {
    float* const to = u + first * kBlock;
    if (from.half())
      rounded_[kind].output_gradient(from.halves(), pitch, targets + first, count, to, step, total);
    else
      plain_[kind].output_gradient(from.floats(), pitch, targets + first, count, to, step, total);
  });
}

}  // namespace fovea
