// dw[c, tap][filter] = Σ over pixels of x[c, pixel moved by tap] · dy[pixel, filter], pairs along the pixels, a band of
// a few rows at a time. So few channels fill no tiles, all of their taps do: the rows of a tile are taps, which read a
// packed band of x wherever they stand in it. Where a tap is an odd number of pixels away, they read a second copy that
// is moved by one pixel. The rows of a tile of AMX are a constant step apart: for it, and for sums that have to be
// short, what each tap reads is copied side by side.
//
//   A  [plane][even, odd][channel][packed band, 16 bits each]      B  [block][plane][pair of pixels][16 filters]
//   or [plane][channel and tap][pixels of the band, 16 bits each]
#include <algorithm>
#include <cstring>

#include "kernels/bf16/bf16.h"
#include "kernels/layout/layout.h"
#include "ops/bf16_products.h"
#include "ops/conv_pack.h"
#include "ops/conv_stem.h"
#include "ops/parallel.h"
#include "ops/tile_choice.h"
#include "runtime/values.h"

namespace fovea {

namespace {

constexpr int64_t kRowBytes = 256 * 1024;  // of A, which stays in L2 with the sums
constexpr int64_t kExactPixels = 64;       // that six products add up in one sum, for it to be as exact as float32's
constexpr int64_t kMostParts = 64;
constexpr double kLeastFlops = 2e6;  // of one part: adding up its sums is a few percent of it
constexpr float kOnes[1] = {1};

class ConvStemGrad : public Operation {
 public:
  ConvStemGrad(const OpSpec& spec, const ConvGeometry& g, int planes)
      : g_(g),
        view_{g.k, g.c, g.c * g.taps(), g.taps(), 0},
        threads_(spec.threads),
        planes_(planes),
        kernels_(*brgemm_bf16_kernels()),
        bias_(operand_at(spec.outputs, 1).present),
        dy_type_(spec.inputs[1].dtype),
        blocks_(blocks(g.k)),
        rows_(g.c * g.taps()) {
    listed_ = kernels_.tile_rows == 1 && planes_ < kMaxPlanes;
    columns_ = choose_tiles(kernels_, rows_, blocks_, 128, spec.tile_blocks).nb;
    const int64_t panel = panel_bytes(kernels_) / (4 * columns_ * kBlock);
    const int64_t words = (listed_ ? panel : std::min(panel, kRowBytes / (4 * rows_))) / planes_;
    band_ = std::clamp<int64_t>(2 * words / g.q, 1, g.p);
    bands_ = ceil_div(g.p, band_);
    band_ = ceil_div(g.p, bands_);
    parts_ = std::clamp<int64_t>(static_cast<int64_t>(g.flops() / kLeastFlops), 1, std::min(kMostParts, chunks()));
    const Axis rows = forward_axis(g.h, g.p, g.r, g.stride_h, g.dilation_h, g.top, g.mode, AxisCopies::kShared);
    const Axis columns = forward_axis(g.w, g.q, g.s, g.stride_w, g.dilation_w, g.left, g.mode, AxisCopies::kShared);
    pack_ = PackedBand(rows, columns, 1, band_, listed_ ? 2 : 1);
    for (const AxisTap& r : rows.phases[0].taps) {
      for (const AxisTap& s : columns.phases[0].taps) offsets_.push_back(pack_.offset(r, s));
    }
    words_ = depth(band_);
    row_words_ =
        words_ % 64 == 0 ? words_ + kBlock : words_;  // a power of two apart they would share lines of the cache
    half_plane_ = ceil_div(pack_.floats() + 1, 2 * kBlock) * kBlock;  // beyond an odd last pixel one more is read
    for (int64_t row = 0; row < rows_ && listed_; ++row) {
      const int64_t offset = offsets_[static_cast<size_t>(row % g.taps())];
      list_.push_back((offset % 2 * g.c + row / g.taps()) * half_plane_ + offset / 2);
    }
    for (int64_t row = 0; row < (listed_ ? band_ : 1); ++row) {
      for (const auto& [x, w] : plane_products(planes_))
        entries_.push_back({x * a_plane() + row * pack_.pitch() / 2, w * b_plane() + row * depth(1) * kBlock});
    }
  }

  size_t workspace_bytes() const override {
    return static_cast<size_t>(parts_ * sum_floats() + threads_ * scratch_floats()) * sizeof(float);
  }

  Status run(const RunContext& context) const override {
    float* const sums = reinterpret_cast<float*>(context.workspace);
    float* const scratch = sums + parts_ * sum_floats();
    context.pool.parallel_for(
        parts_,
        [&](int64_t part, int thread) {
          if (context.cancelled.load(std::memory_order_relaxed)) return;
          const BrgemmScope scope(kernels_);
          for (int64_t chunk = first_chunk(part); chunk < first_chunk(part + 1); ++chunk)
            add_chunk(context, chunk, chunk > first_chunk(part), scratch + thread * scratch_floats(),
                      sums + part * sum_floats());
        },
        nanoseconds_of_flops(g_.flops() / bf16_speed(planes_)));
    if (context.cancelled.load(std::memory_order_relaxed)) return {Code::kAborted, "cancelled"};
    context.pool.parallel_for(
        blocks_, [&](int64_t block, int) { write_block(context, block, sums + block * block_floats()); },
        nanoseconds_of(static_cast<double>(parts_ * sum_floats())));
    return {};
  }

  std::vector<std::vector<double>> loops() const override {
    std::vector<double> main;
    for (int64_t part = 0; part < parts_; ++part)
      main.push_back(static_cast<double>(first_chunk(part + 1) - first_chunk(part)));
    return {main, std::vector<double>(static_cast<size_t>(blocks_), 1)};
  }

  std::string describe() const override {
    return std::string("bf16: ") + kernels_.name + " x" + std::to_string(columns_ * kBlock) + ", " +
           std::to_string(plane_products(planes_).size()) + " products, " + (listed_ ? "" : "taps copied, ") + "rows " +
           std::to_string(band_) + ", parts " + std::to_string(parts_);
  }

 private:
  int64_t chunks() const { return g_.n * bands_; }
  int64_t first_chunk(int64_t part) const { return chunks() * part / parts_; }
  // Words of the sum over so many rows: those of each row, or of all, of AMX whole tiles.
  int64_t depth(int64_t rows) const {
    if (listed_) return rows * ceil_div(g_.q, 2);
    const int64_t unit = kernels_.tile_rows > 1 ? kPairUnit : 2;
    return ceil_div(rows * g_.q, unit) * unit / 2;
  }
  int64_t block_floats() const { return (rows_ + 1) * kBlock; }  // the last row is for the bias
  int64_t sum_floats() const { return blocks_ * block_floats(); }
  int64_t a_plane() const { return listed_ ? 2 * g_.c * half_plane_ : rows_ * row_words_; }
  int64_t a_floats() const { return ceil_div(planes_ * a_plane(), kBlock) * kBlock; }
  int64_t b_plane() const { return words_ * kBlock; }
  int64_t scratch_floats() const {
    return apart(a_floats() + columns_ * planes_ * b_plane() + planes_ * half_plane_ +
                 ceil_div(pack_.floats(), kBlock) * kBlock + wide_floats());
  }
  // Of one block of a band of dy, where it lies rounded and is needed in float32.
  int64_t wide_floats() const {
    return dy_type_ == DType::kBfloat16 && (bias_ || planes_ > 1) ? band_ * g_.q * kBlock : 0;
  }

  // What a band of one image adds to the sums [block][channel and tap][16].
  void add_chunk(const RunContext& context, int64_t chunk, bool accumulate, float* a, float* sums) const {
    const int64_t image = chunk / bands_, first = chunk % bands_ * band_, rows = std::min(band_, g_.p - first);
    float* const b = a + a_floats();
    const float* const source = context.in<float>(0) + image * g_.c * g_.h * g_.w;
    float* const scratch = b + columns_ * planes_ * b_plane();
    listed_ ? pack_band(source, first, rows, scratch, a) : pack_taps(source, first, rows, scratch, a);
    for (int64_t block = 0; block < blocks_; block += columns_) {
      const int64_t nb = std::min<int64_t>(columns_, blocks_ - block);
      for (int64_t i = block; i < block + nb; ++i) {
        const Values stored =
            Values(context.inputs[1], dy_type_) + ((image * blocks_ + i) * g_.p + first) * g_.q * kBlock;
        float* const wide = a + scratch_floats() - wide_floats();
        if (wide_floats() > 0) layout_bf16_kernels()->widen(stored.halves(), rows * g_.q * kBlock, wide);
        const Values dy = wide_floats() > 0 ? Values(wide) : stored;
        float* const words = b + (i - block) * planes_ * b_plane();
        // An odd row of pixels ends with half a pair where each row is a run of its own.
        const int64_t runs = listed_ && g_.q % 2 != 0 ? rows : 1, pixels = rows * g_.q / runs;
        for (int64_t run = 0; run < runs; ++run)
          pack_pixels(dy + run * pixels * kBlock, pixels, depth(rows) / runs, words + run * depth(1) * kBlock);
        if (bias_) add_bias(dy.floats(), rows * g_.q, accumulate, sums + i * block_floats() + rows_ * kBlock);
      }
      if (listed_)
        multiply_list(a, b, rows, static_cast<int>(nb), accumulate, sums + block * block_floats());
      else
        multiply(a, b, depth(rows), static_cast<int>(nb), accumulate, sums + block * block_floats());
    }
  }

  void pack_band(const float* image, int64_t first, int64_t rows, float* band, float* a) const {
    const size_t bytes = static_cast<size_t>(half_plane_) * sizeof(float);
    const int64_t filled = ceil_div(pack_.floats(), kBlock) * kBlock / 2;  // words
    for (int64_t c = 0; c < g_.c; ++c) {
      float* const even = a + c * half_plane_;
      pack_.pack(image + c * g_.h * g_.w, first, rows, band);
      bf16_kernels()->interleave(band, 0, 1, pack_.floats(), planes_, even, a_plane());
      for (int64_t p = 0; p < planes_; ++p) {
        char* const from = reinterpret_cast<char*>(even + p * a_plane());
        char* const to = from + static_cast<size_t>(g_.c) * bytes;
        std::memset(from + filled * 4, 0, bytes - static_cast<size_t>(filled) * 4);
        std::memcpy(to, from + 2, bytes - 2);
        std::memset(to + bytes - 2, 0, 2);
      }
    }
  }

  // A run for each row and product of planes.
  void multiply_list(const float* a, const float* b, int64_t rows, int nb, bool accumulate, float* sums) const {
    BrgemmCall call{};
    call.a = a;
    call.b = b;
    call.entries = entries_.data();
    call.count = static_cast<ptrdiff_t>(entries_.size()) / band_ * rows;
    call.depth = depth(1);
    call.a_step = 1;
    call.b_block = planes_ * b_plane();
    call.c_row = kBlock;
    call.c_block = block_floats();
    call.accumulate = accumulate;
    const int64_t tiles = ceil_div(rows_, kernels_.rows[columns_ - 1]);
    for (int64_t i = 0; i < tiles; ++i) {
      const int64_t row = rows_ * i / tiles;
      call.a_rows = list_.data() + row;
      call.c = sums + row * kBlock;
      kernels_.at(BrgemmRows::kList, static_cast<int>(rows_ * (i + 1) / tiles - row), nb)(call);
    }
  }

  void pack_taps(const float* image, int64_t first, int64_t rows, float* scratch, float* a) const {
    float* const halves = scratch;
    float* const band = halves + planes_ * half_plane_;
    const size_t row_bytes = static_cast<size_t>(2 * g_.q), end = static_cast<size_t>(rows) * row_bytes;
    for (int64_t c = 0; c < g_.c; ++c) {
      pack_.pack(image + c * g_.h * g_.w, first, rows, band);
      bf16_kernels()->interleave(band, 0, 1, pack_.floats(), planes_, halves, half_plane_);
      for (int64_t p = 0; p < planes_; ++p) {
        const char* const from = reinterpret_cast<const char*>(halves + p * half_plane_);
        for (size_t tap = 0; tap < offsets_.size(); ++tap) {
          char* const to =
              reinterpret_cast<char*>(a + (p * rows_ + c * g_.taps() + static_cast<int64_t>(tap)) * row_words_);
          for (int64_t row = 0; row < rows; ++row)
            std::memcpy(to + static_cast<size_t>(row) * row_bytes, from + 2 * (offsets_[tap] + row * pack_.pitch()),
                        row_bytes);
          std::memset(to + end, 0, static_cast<size_t>(4 * depth(rows)) - end);
        }
      }
    }
  }

  // Pairs of pixels of one block of filters, up to `depth` words, zeros beyond the last pixel.
  void pack_pixels(Values dy, int64_t pixels, int64_t depth, float* words) const {
    const auto pack = [&](Values from, int64_t count, float* to) {
      if (from.half())
        bf16_kernels()->stored_rows(from.halves(), count, to);
      else
        bf16_kernels()->rows(from.floats(), count, planes_, to, b_plane());
    };
    const int64_t whole = pixels / 2;
    pack(dy, whole, words);
    for (int64_t p = 0; p < planes_; ++p)
      std::memset(words + p * b_plane() + whole * kBlock, 0,
                  static_cast<size_t>((depth - whole) * kBlock) * sizeof(float));
    if (pixels % 2 == 0) return;
    float last[2 * kBlock] = {};
    const Values from = dy + 2 * whole * kBlock;
    std::memcpy(last, from.at(), static_cast<size_t>(kBlock * from.bytes()));
    pack(Values(last, from.half() ? DType::kBfloat16 : DType::kFloat32), 1, words + whole * kBlock);
  }

  void multiply(const float* a, const float* b, int64_t depth, int nb, bool accumulate, float* sums) const {
    const int64_t most = planes_ == kMaxPlanes ? kExactPixels / 2 : depth;
    BrgemmCall call{};
    call.entries = entries_.data();
    call.count = static_cast<ptrdiff_t>(entries_.size());
    call.a_step = row_words_;
    call.b_block = planes_ * b_plane();
    call.c_row = kBlock;
    call.c_block = block_floats();
    const int64_t tiles = ceil_div(rows_, kernels_.rows[columns_ - 1]);
    for (int64_t q = 0; q < depth; q += most) {
      call.depth = std::min(most, depth - q);
      call.accumulate = accumulate || q > 0;
      call.b = b + q * kBlock;
      for (int64_t i = 0; i < tiles; ++i) {
        const int64_t row = rows_ * i / tiles;
        call.a = a + row * row_words_ + q;
        call.c = sums + row * kBlock;
        kernels_.at(BrgemmRows::kRows, static_cast<int>(rows_ * (i + 1) / tiles - row), nb)(call);
      }
    }
  }

  // The sum of dy, in float32 always.
  void add_bias(const float* dy, int64_t pixels, bool accumulate, float* sum) const {
    static const BrgemmEntry start{0, 0};
    BrgemmCall call{};
    call.entries = &start;
    call.count = 1;
    call.depth = pixels;
    call.a = kOnes;
    call.b = dy;
    call.c = sum;
    call.c_row = kBlock;
    call.accumulate = accumulate;
    brgemm_kernels().at(BrgemmRows::kColumns, 1, 1)(call);
  }

  // The parts' sums of one block of filters, added in order.
  void write_block(const RunContext& context, int64_t block, float* total) const {
    for (int64_t part = 1; part < parts_; ++part) {
      const float* const more = total + part * sum_floats();
      for (int64_t i = 0; i < block_floats(); ++i) total[i] += more[i];
    }
    if (!finite(total, rows_ * kBlock)) report_not_finite(context);
    unpack_weight(total, view_, g_.tap_offsets(), 1, 0, g_.c, block, context.out<float>(0));
    if (bias_)
      std::copy_n(total + rows_ * kBlock, std::min<int64_t>(kBlock, g_.k - block * kBlock),
                  context.out<float>(1) + block * kBlock);
  }

  ConvGeometry g_;
  WeightView view_;
  int threads_, planes_;
  const BrgemmKernels& kernels_;
  bool bias_;
  DType dy_type_;          // in memory
  int64_t blocks_, rows_;  // of 16 filters; channels × taps
  int64_t band_ = 1, bands_ = 1, parts_ = 1;
  PackedBand pack_;
  std::vector<int64_t> offsets_;       // of each tap in the packed band
  bool listed_ = false;                // taps are read where they stand in it
  std::vector<ptrdiff_t> list_;        // where: of each channel and tap
  std::vector<BrgemmEntry> entries_;   // [row of the band, where they are listed][product of planes]
  int64_t words_ = 0, row_words_ = 0;  // of a band's pixels; from one row of A to the next
  int64_t columns_ = 1;                // blocks of filters that a tile takes at once
  int64_t half_plane_ = 0;             // words of the packed band as bfloat16
};

}  // namespace

Status make_stem_grad_weight(const OpSpec& spec, const ConvGeometry& g, int planes,
                             std::unique_ptr<Operation>* operation) {
  FOVEA_RETURN_IF_ERROR(check_stem_size(g));
  *operation = std::make_unique<ConvStemGrad>(spec, g, planes);
  return {};
}

}  // namespace fovea
