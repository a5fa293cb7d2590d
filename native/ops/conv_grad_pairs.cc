#include "ops/conv_grad_pairs.h"

#include <algorithm>
#include <cstring>

#include "kernels/bf16/bf16.h"

namespace fovea {

PixelPairs::PixelPairs(const PackedBand& band, int64_t rows, int64_t columns, int planes, int64_t step)
    : planes_(planes), step_(step), pitch_(band.pitch()), columns_(columns), band_floats_(band.floats()) {
  // Beyond the band up to `pitch` positions and the rest of a step are read, and multiplied by zeros.
  const int64_t positions = (band_floats_ / kBlock + pitch_ + step_ + 31) / 32 * 32;
  x_row_ = positions / 2;
  if (x_row_ % 64 == 0) x_row_ += 16;  // channels a power of two apart would share the same few lines of the cache
  x_plane_ = kBlock * x_row_;
  dy_pixels_ = padded(rows);
  dy_plane_ = dy_pixels_ / 2 * kBlock;
}

void PixelPairs::pack_x(const PackedBand& band, const float* block, int64_t first, int64_t count, float* scratch,
                        float* words) const {
  int64_t positions = band_floats_ / kBlock;
  const float* source = scratch;
  if (band.in_place()) {
    source = block + band.row(first) * pitch_ * kBlock;
    positions = count * pitch_;
  } else {
    band.pack(block, first, count, scratch);
  }
  const int64_t end = (positions + 31) / 32 * 16;
  bf16_kernels()->channels(source, 1, positions, planes_, words, x_row_, x_plane_);
  for (int64_t row = 0; row < planes_ * kBlock; ++row)
    std::memset(words + row * x_row_ + end, 0, static_cast<size_t>(x_row_ - end) * sizeof(float));
}

void PixelPairs::pack_dy(const float* block, int64_t rows, float* scratch, float* words) const {
  const auto pack = bf16_kernels()->rows;
  const int64_t pairs = padded(rows) / 2;
  // Where rows of dy follow each other as those of x do, all but a last odd pixel are packed where they lie.
  const int64_t whole = pitch_ == columns_ ? rows * columns_ / 2 : 0;
  if (whole > 0) pack(block, whole, planes_, words, dy_plane_);
  if (whole == pairs) return;
  std::memset(scratch, 0, static_cast<size_t>((pairs - whole) * 2 * kBlock) * sizeof(float));
  if (pitch_ == columns_) {
    std::copy_n(block + whole * 2 * kBlock, (rows * columns_ - whole * 2) * kBlock, scratch);
  } else {
    for (int64_t row = 0; row < rows; ++row)
      std::copy_n(block + row * columns_ * kBlock, columns_ * kBlock, scratch + row * pitch_ * kBlock);
  }
  pack(scratch, pairs - whole, planes_, words + whole * kBlock, dy_plane_);
}

const float* PixelPairs::at(const float* words, int64_t channel, int64_t position) const {
  const char* const row = reinterpret_cast<const char*>(words + channel * x_row_);
  return reinterpret_cast<const float*>(row + 2 * position);
}

}  // namespace fovea
