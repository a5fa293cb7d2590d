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

void PixelPairs::pack_x(const PackedBand& band, Values block, int64_t first, int64_t count, float* scratch,
                        float* words) const {
  // Where the rows stand without padding they are packed where they lie.
  const bool packed = !band.in_place();
  const int64_t positions = packed ? band_floats_ / kBlock : count * pitch_, end = (positions + 31) / 32 * 16;
  const Values stored = block + (packed ? 0 : band.row(first) * pitch_ * kBlock);
  if (block.half()) {
    Bfloat16* const own = reinterpret_cast<Bfloat16*>(scratch);
    if (packed) band.pack_halves(block.halves(), first, count, own);
    bf16_kernels()->stored_channels(packed ? own : stored.halves(), positions, words, x_row_);
  } else {
    if (packed) band.pack(block, first, count, scratch);
    bf16_kernels()->channels(packed ? scratch : stored.floats(), 1, positions, planes_, words, x_row_, x_plane_);
  }
  for (int64_t row = 0; row < planes_ * kBlock; ++row)
    std::memset(words + row * x_row_ + end, 0, static_cast<size_t>(x_row_ - end) * sizeof(float));
}

void PixelPairs::pack_dy(Values block, int64_t rows, float* scratch, float* words) const {
  const auto pack = [&](Values from, int64_t count, float* to) {
    if (from.half())
      bf16_kernels()->stored_rows(from.halves(), count, to);
    else
      bf16_kernels()->rows(from.floats(), count, planes_, to, dy_plane_);
  };
  const int64_t pairs = padded(rows) / 2, size = block.bytes();
  // Where rows of dy follow each other as those of x do, all but a last odd pixel are packed where they lie.
  const int64_t whole = pitch_ == columns_ ? rows * columns_ / 2 : 0;
  if (whole > 0) pack(block, whole, words);
  if (whole == pairs) return;
  const MutableValues rest(scratch, block.half() ? DType::kBfloat16 : DType::kFloat32);
  const auto copy = [&](int64_t from, int64_t to, int64_t pixels) {
    std::memcpy((rest + to * kBlock).at(), (block + from * kBlock).at(), static_cast<size_t>(pixels * kBlock * size));
  };
  std::memset(scratch, 0, static_cast<size_t>((pairs - whole) * 2 * kBlock * size));
  if (pitch_ == columns_) {
    copy(whole * 2, 0, rows * columns_ - whole * 2);
  } else {
    for (int64_t row = 0; row < rows; ++row) copy(row * columns_, row * pitch_, columns_);
  }
  pack(Values(scratch, block.half() ? DType::kBfloat16 : DType::kFloat32), pairs - whole, words + whole * kBlock);
}

const float* PixelPairs::at(const float* words, int64_t channel, int64_t position) const {
  const char* const row = reinterpret_cast<const char*>(words + channel * x_row_);
  return reinterpret_cast<const float*>(row + 2 * position);
}

}  // namespace fovea
