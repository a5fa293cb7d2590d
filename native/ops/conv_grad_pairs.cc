#include "ops/conv_grad_pairs.h"

#include <cstring>

#include "kernels/bf16/bf16.h"

namespace fovea {

PixelPairs::PixelPairs(const PackedBand& band, int64_t rows, int64_t columns, int planes)
    : planes_(planes), pitch_(band.pitch()), columns_(columns), band_floats_(band.floats()) {
  // Beyond the band up to `pitch` positions and the 31 to the end of a tile are read, and multiplied by zeros.
  const int64_t positions = (band_floats_ / kBlock + pitch_ + 31 + 15) / 16 * 16;
  x_row_ = positions / 2;
  if (x_row_ % 64 == 0) x_row_ += 16;  // channels a power of two apart would share the same few lines of the cache
  x_plane_ = kBlock * x_row_;
  dy_pixels_ = padded(rows);
  dy_plane_ = dy_pixels_ / 2 * kBlock;
}

void PixelPairs::pack_x(const PackedBand& band, const float* block, int64_t first, int64_t count, float* scratch,
                        float* words) const {
  band.pack(block, first, count, scratch);
  const int64_t positions = band_floats_ / kBlock, end = (positions + 15) / 16 * 8;
  bf16_kernels()->channels(scratch, 1, positions, planes_, words, x_row_, x_plane_);
  for (int64_t row = 0; row < planes_ * kBlock; ++row)
    std::memset(words + row * x_row_ + end, 0, static_cast<size_t>(x_row_ - end) * sizeof(float));
}

void PixelPairs::pack_dy(const float* block, int64_t rows, float* scratch, float* words) const {
  const int64_t pixels = padded(rows);
  const float* source = block;
  if (pixels != rows * columns_) {
    std::memset(scratch, 0, static_cast<size_t>(pixels * kBlock) * sizeof(float));
    for (int64_t row = 0; row < rows; ++row)
      std::memcpy(scratch + row * pitch_ * kBlock, block + row * columns_ * kBlock,
                  static_cast<size_t>(columns_ * kBlock) * sizeof(float));
    source = scratch;
  }
  bf16_kernels()->rows(source, pixels / 2, planes_, words, dy_plane_);
}

const float* PixelPairs::at(const float* words, int64_t channel, int64_t position) const {
  const char* const row = reinterpret_cast<const char*>(words + channel * x_row_);
  return reinterpret_cast<const float*>(row + 2 * position);
}

}  // namespace fovea
