// Operands of the weight gradient as bfloat16 pairs along the reduction, which runs over pixels. One of them becomes a
// row of pixels for each channel, the other pairs of pixels:
//
//   vectors      rows of x, pairs of dy   a tap moves the rows by so many positions, odd ones too, since 16-bit values
//                                         can be read from any of them
//   tiles, AMX   rows of dy, pairs of x   all rows then begin at whole cache lines: loads that cross lines take up to
//                                         1.4 times as long (Emerald Rapids). For odd taps there is a copy of x moved
//                                         by one. Of one tap with fewer channels than filters rows are of x, as above:
//                                         they take 4 times as long to pack
//
// Both follow the same stream of pixels, rows of `pitch` positions. dy is zero in the positions that x has beyond the
// columns of dy, and from the end of its rows to where products end: a pair, or the 32 pixels of a tile of AMX. Where
// maps are small, for tiles, the stream is of images: position pixel · images + image holds that pixel of that image,
// and products leave out what is padding.
#pragma once
#include <algorithm>
#include <cstdint>

#include "ops/conv_pack.h"

namespace fovea {

class PixelPairs {
 public:
  PixelPairs() = default;
  enum class Rows { kX, kDy };
  struct Way {
    Rows rows;
    int64_t step;  // products end at a multiple of so many pixels
    bool odd;      // some taps are at odd positions
  };
  // band: what is packed of x. rows × columns: of dy, at most.
  PixelPairs(const PackedBand& band, int64_t rows, int64_t columns, int planes, const Way& way);

  // Images side by side, a multiple of 32 with those that are zeros.
  PixelPairs(int64_t x_pixels, int64_t dy_pixels, int64_t images, int planes);

  int64_t images() const { return images_; }                // 0: pixels follow each other
  int64_t x_words() const { return planes_ * x_plane_; }    // of one block of channels
  int64_t dy_words() const { return planes_ * dy_plane_; }  // of one block of filters
  int64_t scratch_floats() const {
    return images_ > 0 ? kGathered * gathered_images() * kBlock : std::max(band_floats_, dy_pixels_ * kBlock);
  }
  int64_t dy_positions() const { return dy_pixels_ * std::max<int64_t>(1, images_); }
  int64_t row() const { return row_; }  // words from a row to the next
  int64_t x_plane() const { return x_plane_; }
  int64_t dy_plane() const { return dy_plane_; }
  // Positions of the stream, the last one excluded, as whole steps of the products.
  int64_t begin(int64_t position) const { return position / step_ * step_; }
  int64_t end(int64_t position) const { return (position + step_ - 1) / step_ * step_; }

  // The band of one block of x, of which `count` outputs are wanted.
  void pack_x(const PackedBand& band, Values block, int64_t first, int64_t count, float* scratch, float* words) const;
  // `rows` rows of one block of dy.
  void pack_dy(Values block, int64_t rows, float* scratch, float* words) const;
  // One block of `count` images, `image` values apart.
  void pack_x_of_images(Values block, int64_t image, int64_t count, float* scratch, float* words) const;
  void pack_dy_of_images(Values block, int64_t image, int64_t count, float* scratch, float* words) const;
  // Where x stands at `position` behind the words of a block and plane: of one channel, or pairs of all.
  const float* x_at(const float* words, int64_t channel, int64_t position) const;
  // From there, and from the start of dy, `position` positions on, an even number.
  int64_t x_moved(int64_t position) const { return position / 2 * (dy_rows_ ? kBlock : 1); }
  int64_t dy_moved(int64_t position) const { return position / 2 * (dy_rows_ ? 1 : kBlock); }

 private:
  int64_t padded(int64_t rows) const { return end(rows * pitch_); }
  void pack_rows(Values pixels, int64_t count, int64_t plane, float* words) const;
  void pack_pairs(Values pixels, int64_t count, int64_t plane, float* words) const;
  void pack_pairs_of_x(Values pixels, int64_t count, float* words) const;
  static constexpr int64_t kGathered = 32;  // pixels
  template <class Visit>
  void for_gathered(Values block, int64_t pixels, int64_t image, int64_t count, float* scratch,
                    const Visit& visit) const;
  Values gather(Values block, int64_t pixels, int64_t image, int64_t count, float* scratch) const;
  int64_t gathered_images() const { return images_ + 2; }  // two more: not a power of two

  int planes_ = 1;
  bool dy_rows_ = false;
  int64_t images_ = 0, x_pixels_ = 0;
  int64_t step_ = 2, phases_ = 1;  // copies of x as pairs: from even positions on, from odd ones
  int64_t pitch_ = 0, columns_ = 0, band_floats_ = 0, row_ = 0;
  int64_t x_plane_ = 0, x_phase_ = 0, dy_pixels_ = 0, dy_plane_ = 0;
};

}  // namespace fovea
