// How Winograd's algorithm cuts images into tiles, and the transforms of their pixels.
#pragma once
#include <algorithm>
#include <cstdint>

#include "kernels/winograd/winograd.h"
#include "ops/ahead.h"
#include "ops/parallel.h"
#include "runtime/values.h"

namespace fovea {

class ConvEpilogue;

// How an axis of the images is cut into tiles. Tile i has the inputs from source_first + i·source_step and the outputs
// from dest_first + i·outputs; some of them may not exist. Dilated, each phase, every dilation-th pixel, is an axis of
// its own, and tiles are numbered phase by phase.
struct WinogradTileAxis {
  int64_t source, dest;     // pixels
  int64_t inputs, outputs;  // of a tile
  int64_t source_first, source_step, dest_first;
  int64_t dilation = 1;
  int64_t short_outputs = 0;  // the last tile is a short one if it has no more outputs than these

  int64_t phase_count() const { return ceil_div(ceil_div(dest - dest_first, dilation), outputs); }
  int64_t count() const { return std::min(dilation, dest) * phase_count(); }
  bool is_short(int64_t tile) const { return short_outputs > 0 && dest - dest_first - tile * outputs <= short_outputs; }
  // The pixels of a tile's first input and output.
  int64_t source_at(int64_t tile) const { return source_first + pixel(tile, source_step); }
  int64_t dest_at(int64_t tile) const { return dest_first + pixel(tile, outputs); }
  // Of all outputs of a tile; neighbours only without dilation.
  int64_t dest_begin(int64_t tile) const { return std::max<int64_t>(0, dest_first + tile * outputs); }
  int64_t dest_end(int64_t tile) const { return std::min(dest, dest_first + (tile + 1) * outputs); }

 private:
  int64_t pixel(int64_t tile, int64_t step) const {
    return dilation == 1 ? tile * step : tile / phase_count() + tile % phase_count() * step * dilation;
  }
};

// Some tiles in the order of their kinds: those of kind k are [begin[k], begin[k + 1]).
struct WinogradOrder {
  int64_t begin[kWinogradKinds + 1];

  struct Range {
    int64_t first, count;
  };
  Range kind(int kind) const { return {begin[kind], begin[kind + 1] - begin[kind]}; }
  // Those that have a frequency: one of whole rows and whole columns alone, or not.
  Range with(bool whole_rows, bool whole_columns) const {
    const int64_t first = begin[whole_rows ? kWholeTiles : kShortRows];
    return {first, begin[whole_columns ? kShortColumns : whole_rows ? kShortTiles : kWinogradKinds] - first};
  }
  // Of the tiles [first, first + count) alone.
  WinogradOrder part(int64_t first, int64_t count) const {
    WinogradOrder order;
    for (int k = 0; k <= kWinogradKinds; ++k) order.begin[k] = std::clamp<int64_t>(begin[k] - first, 0, count);
    return order;
  }
};

// Tiles are numbered image by image, row by row.
struct WinogradTiles {
  int64_t images;
  WinogradTileAxis rows, columns;
  int64_t points;             // along an axis
  int64_t short_outputs = 0;  // 2 or 3 (WinogradKinds), or 0 where all tiles are whole
  unsigned short_points = 0;  // those of short tiles, bit by bit

  int64_t count() const { return images * rows.count() * columns.count(); }
  // Of all tiles, each times its frequencies.
  int64_t products() const;
  bool dilated() const { return rows.dilation > 1; }
  WinogradPitch source_pitch() const { return pitch(columns.source); }
  WinogradPitch dest_pitch() const { return pitch(columns.dest); }

  // The tiles [first, first + count) in the order in which windows() and targets() have them.
  WinogradOrder order(int64_t first, int64_t count) const;
  // The places among them, in that order, of the tiles that have frequency f.
  WinogradOrder::Range with_frequency(const WinogradOrder& order, int64_t f) const {
    const auto whole = [this](int64_t point) { return (short_points >> point & 1) == 0; };
    return order.with(whole(f / points), whole(f % points));
  }
  // In the first of the `blocks` blocks of channels that the image has; windows only of the places `some`.
  void windows(int64_t first, int64_t count, int64_t blocks, WinogradOrder::Range some, WinogradWindow* windows) const;
  void targets(int64_t first, int64_t count, int64_t blocks, WinogradTarget* targets) const;

  // Adds to what is asked for whole rows of pixels: what those tiles read, or write, in `blocks` blocks of channels of
  // the `all` that an image has, beginning at `from` in the first image. Nothing of dilated ones, whose rows lie apart.
  void add_sources(int64_t first, int64_t count, Values from, int64_t blocks, int64_t all, Ahead* ahead) const;
  void add_targets(int64_t first, int64_t count, Values from, int64_t blocks, int64_t all, Ahead* ahead) const;

 private:
  WinogradPitch pitch(int64_t width) const { return {rows.dilation * width * kBlock, columns.dilation * kBlock}; }
};

// What an epilogue does with those tiles and blocks of filters, which must not be dilated. See ConvPart for the slot.
void finish_tiles(const WinogradTiles& grid, int64_t first_tile, int64_t tiles, int64_t first_block, int64_t blocks,
                  int64_t slot, const ConvEpilogue& epilogue);

// The transforms of the pixels of one block of channels, of either type.
class WinogradPixelTransforms {
 public:
  // `rounded` may be null: then all pixels are floats.
  WinogradPixelTransforms(const WinogradKinds<float>& plain, const WinogradKinds<Bfloat16>* rounded,
                          const WinogradTiles& grid)
      : grid_(grid),
        plain_(plain.with(grid.short_outputs)),
        rounded_(rounded ? rounded->with(grid.short_outputs) : nullptr) {}

  // The kernels of winograd.h say what these do. `windows` and `targets` are in the order given. Windows behind the
  // tiles' own, up to `known`, may be asked for.
  void input(Values from, const WinogradOrder& order, const WinogradWindow* windows, int64_t known, float* v,
             int64_t step) const;
  bool output(const float* product, int64_t step, const float* bias, bool relu, int64_t lanes,
              const WinogradOrder& order, const WinogradTarget* targets, MutableValues to) const;
  void output_gradient(Values from, const WinogradOrder& order, const WinogradTarget* targets, float* u, int64_t step,
                       float* total) const;

 private:
  WinogradTiles grid_;
  const WinogradPixels<float>* plain_;
  const WinogradPixels<Bfloat16>* rounded_;
};

}  // namespace fovea
