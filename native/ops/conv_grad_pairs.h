// Operands of the weight gradient as bfloat16 pairs along the reduction, which runs over pixels: x becomes a row of
// pixels for each channel, dy pairs of pixels for each filter.
//
// Both follow the same stream of pixels, rows of `pitch` positions. A filter tap moves x by so many positions, odd ones
// too, since rows of 16-bit values can be read from any of them. dy is zero in the positions that x has beyond the
// columns of dy, and from the end of its rows to where products end: a pair, or the 32 pixels of a tile of AMX.
#pragma once
#include <cstdint>

#include "ops/conv_pack.h"

namespace fovea {

class PixelPairs {
 public:
  PixelPairs() = default;
  // band: what is packed of x. rows × columns: of dy, at most. Products end at a multiple of `step` pixels.
  PixelPairs(const PackedBand& band, int64_t rows, int64_t columns, int planes, int64_t step);

  int64_t x_words() const { return planes_ * x_plane_; }    // of one block of channels
  int64_t dy_words() const { return planes_ * dy_plane_; }  // of one block of filters
  int64_t scratch_floats() const { return band_floats_ > dy_pixels_ * kBlock ? band_floats_ : dy_pixels_ * kBlock; }
  int64_t x_row() const { return x_row_; }  // words from a channel to the next
  int64_t x_plane() const { return x_plane_; }
  int64_t dy_plane() const { return dy_plane_; }
  // Positions of the stream, the last one excluded, as whole steps of the products.
  int64_t begin(int64_t position) const { return position / step_ * step_; }
  int64_t end(int64_t position) const { return (position + step_ - 1) / step_ * step_; }

  // [plane][channel][x_row] from the band of one block, of which `count` outputs are wanted.
  void pack_x(const PackedBand& band, Values block, int64_t first, int64_t count, float* scratch, float* words) const;
  // [plane][pair of pixels][16] from `rows` rows of one block.
  void pack_dy(Values block, int64_t rows, float* scratch, float* words) const;
  // Where channel `channel` stands at `position` behind the words of a block and plane.
  const float* at(const float* words, int64_t channel, int64_t position) const;

 private:
  int64_t padded(int64_t rows) const { return end(rows * pitch_); }

  int planes_ = 1;
  int64_t step_ = 2;
  int64_t pitch_ = 0, columns_ = 0, band_floats_ = 0, x_row_ = 0, x_plane_ = 0, dy_pixels_ = 0, dy_plane_ = 0;
};

}  // namespace fovea
