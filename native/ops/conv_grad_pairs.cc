#include "ops/conv_grad_pairs.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "kernels/bf16/bf16.h"
#include "ops/parallel.h"

namespace fovea {

namespace {

// Rows a power of two apart would share the same few lines of the cache.
int64_t row_words(int64_t positions) {
  const int64_t words = positions / 2;
  return words % 64 == 0 ? words + 16 : words;
}

}  // namespace

PixelPairs::PixelPairs(const PackedBand& band, int64_t rows, int64_t columns, int planes, const Way& way)
    : planes_(planes),
      dy_rows_(way.rows == Rows::kDy),
      step_(way.step),
      phases_(dy_rows_ && way.odd ? 2 : 1),
      pitch_(band.pitch()),
      columns_(columns),
      band_floats_(band.floats()) {
  // Beyond the band up to `pitch` positions and the rest of a step are read, and multiplied by zeros.
  const int64_t positions = (band_floats_ / kBlock + pitch_ + step_ + 31) / 32 * 32;
  dy_pixels_ = padded(rows);
  row_ = row_words(dy_rows_ ? dy_pixels_ : positions);
  x_phase_ = dy_rows_ ? positions / 2 * kBlock : kBlock * row_;
  x_plane_ = phases_ * x_phase_;
  dy_plane_ = dy_rows_ ? kBlock * row_ : dy_pixels_ / 2 * kBlock;
}

PixelPairs::PixelPairs(int64_t x_pixels, int64_t dy_pixels, int64_t images, int planes)
    : planes_(planes), dy_rows_(true), images_(images), x_pixels_(x_pixels), step_(kPairUnit), dy_pixels_(dy_pixels) {
  row_ = row_words(dy_pixels * images);
  x_phase_ = x_plane_ = x_pixels * images / 2 * kBlock;
  dy_plane_ = kBlock * row_;
}

void PixelPairs::pack_rows(Values pixels, int64_t count, int64_t plane, float* words) const {
  if (pixels.half())
    bf16_kernels()->stored_channels(pixels.halves(), count, words, row_);
  else
    bf16_kernels()->channels(pixels.floats(), 1, count, planes_, words, row_, plane);
}

// `count` pairs.
void PixelPairs::pack_pairs(Values pixels, int64_t count, int64_t plane, float* words) const {
  if (pixels.half())
    bf16_kernels()->stored_rows(pixels.halves(), count, words);
  else
    bf16_kernels()->rows(pixels.floats(), count, planes_, words, plane);
}

// All of a phase: pairs, a last pixel beside zeros, and zeros.
void PixelPairs::pack_pairs_of_x(Values pixels, int64_t count, float* words) const {
  const int64_t whole = count / 2, used = ceil_div(count, 2);
  pack_pairs(pixels, whole, x_plane_, words);
  if (used > whole) {
    alignas(64) float last[2 * kBlock] = {};
    std::memcpy(last, (pixels + whole * 2 * kBlock).at(), static_cast<size_t>(kBlock * pixels.bytes()));
    pack_pairs(Values(last, pixels.half() ? DType::kBfloat16 : DType::kFloat32), 1, x_plane_, words + whole * kBlock);
  }
  for (int plane = 0; plane < planes_; ++plane) {
    std::memset(words + plane * x_plane_ + used * kBlock, 0,
                static_cast<size_t>(x_phase_ - used * kBlock) * sizeof(float));
  }
}

void PixelPairs::pack_x(const PackedBand& band, Values block, int64_t first, int64_t count, float* scratch,
                        float* words) const {
  // Where the rows stand without padding they are packed where they lie.
  const bool packed = !band.in_place();
  const int64_t positions = packed ? band_floats_ / kBlock : count * pitch_;
  if (packed && block.half())
    band.pack_halves(block.halves(), first, count, reinterpret_cast<Bfloat16*>(scratch));
  else if (packed)
    band.pack(block, first, count, scratch);
  const Values pixels = packed ? Values(scratch, block.half() ? DType::kBfloat16 : DType::kFloat32)
                               : block + band.row(first) * pitch_ * kBlock;
  if (dy_rows_) {
    for (int64_t phase = 0; phase < std::min(phases_, positions); ++phase)
      pack_pairs_of_x(pixels + phase * kBlock, positions - phase, words + phase * x_phase_);
    return;
  }
  pack_rows(pixels, positions, x_plane_, words);
  const int64_t end = (positions + 31) / 32 * 16;
  for (int64_t row = 0; row < planes_ * kBlock; ++row)
    std::memset(words + row * row_ + end, 0, static_cast<size_t>(row_ - end) * sizeof(float));
}

void PixelPairs::pack_dy(Values block, int64_t rows, float* scratch, float* words) const {
  const int64_t pixels = padded(rows), size = block.bytes();
  const DType type = block.half() ? DType::kBfloat16 : DType::kFloat32;
  const bool flat = pitch_ == columns_;
  if (dy_rows_ && flat) return pack_rows(block, rows * columns_, dy_plane_, words);
  // Where rows of dy follow each other as those of x do, all but a last odd pixel are packed where they lie.
  const int64_t whole = flat ? rows * columns_ / 2 : 0;
  if (whole > 0) pack_pairs(block, whole, dy_plane_, words);
  if (whole == pixels / 2) return;
  const MutableValues rest(scratch, type);
  const auto copy = [&](int64_t from, int64_t to, int64_t count) {
    std::memcpy((rest + to * kBlock).at(), (block + from * kBlock).at(), static_cast<size_t>(count * kBlock * size));
  };
  std::memset(scratch, 0, static_cast<size_t>((pixels - whole * 2) * kBlock * size));
  if (flat) {
    copy(whole * 2, 0, rows * columns_ - whole * 2);
  } else {
    for (int64_t row = 0; row < rows; ++row) copy(row * columns_, row * pitch_, columns_);
  }
  if (dy_rows_)
    pack_rows(Values(scratch, type), pixels, dy_plane_, words);
  else
    pack_pairs(Values(scratch, type), pixels / 2 - whole, dy_plane_, words + whole * kBlock);
}

// [pixel][image][16], and zeros for images that are not there. Image by image: those of one pixel lie a power of two
// apart more often than not, in the same few lines of a cache.
Values PixelPairs::gather(Values block, int64_t pixels, int64_t image, int64_t count, float* scratch) const {
  const DType type = block.half() ? DType::kBfloat16 : DType::kFloat32;
  const MutableValues all(scratch, type);
  const int64_t pitch = gathered_images() * kBlock;
  const auto copy = [&](auto size) {
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t pixel = 0; pixel < pixels; ++pixel)
        std::memcpy((all + pixel * pitch + i * kBlock).at(), (block + i * image + pixel * kBlock).at(), size);
    }
  };
  if (block.half())
    copy(std::integral_constant<size_t, kBlock * sizeof(Bfloat16)>());
  else
    copy(std::integral_constant<size_t, kBlock * sizeof(float)>());
  for (int64_t pixel = 0; pixel < pixels && count < images_; ++pixel) {
    std::memset((all + pixel * pitch + count * kBlock).at(), 0,
                static_cast<size_t>((images_ - count) * kBlock * block.bytes()));
  }
  return Values(scratch, type);
}

void PixelPairs::pack_x_of_images(Values block, int64_t image, int64_t count, float* scratch, float* words) const {
  for_gathered(block, x_pixels_, image, count, scratch, [&](int64_t pixel, Values images) {
    pack_pairs(images, images_ / 2, x_plane_, words + pixel * images_ / 2 * kBlock);
  });
}

void PixelPairs::pack_dy_of_images(Values block, int64_t image, int64_t count, float* scratch, float* words) const {
  for_gathered(block, dy_pixels_, image, count, scratch, [&](int64_t pixel, Values images) {
    pack_rows(images, images_, dy_plane_, words + pixel * images_ / 2);
  });
}

// visit(pixel, [image][16]), gathering a few pixels at a time.
template <class Visit>
void PixelPairs::for_gathered(Values block, int64_t pixels, int64_t image, int64_t count, float* scratch,
                              const Visit& visit) const {
  for (int64_t first = 0; first < pixels; first += kGathered) {
    const int64_t some = std::min(kGathered, pixels - first);
    const Values gathered = gather(block + first * kBlock, some, image, count, scratch);
    for (int64_t i = 0; i < some; ++i) visit(first + i, gathered + i * gathered_images() * kBlock);
  }
}

const float* PixelPairs::x_at(const float* words, int64_t channel, int64_t position) const {
  if (dy_rows_) return words + position % 2 * x_phase_ + position / 2 * kBlock;
  const char* const row = reinterpret_cast<const char*>(words + channel * row_);
  return reinterpret_cast<const float*>(row + 2 * position);
}

}  // namespace fovea
