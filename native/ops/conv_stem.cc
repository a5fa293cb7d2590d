// The channels of a pixel are interleaved, so that all values under one row of the filter are neighbours in memory: one
// entry of the tiles' list, S·C products deep. The next output's begin stride·C values on.
//
//   row of the band   [p0c0 p0c1 p0c2 p1c0 p1c1 p1c2 p2c0 …]       16 bits each
//   output 0           └──────── S·C values ────────┘
//   output 1                                 └──────── S·C values ────────┘    stride 2, C = 3: six values on, 3 words
//
// Tiles step by whole words: where stride·C is odd, even and odd columns are tiles of their own.
#include "ops/conv_stem.h"

#include <algorithm>
#include <cstring>

#include "kernels/bf16/bf16.h"
#include "ops/bf16_products.h"
#include "ops/conv_epilogue.h"
#include "ops/kept_weight.h"
#include "ops/parallel.h"
#include "ops/tile_choice.h"
#include "runtime/values.h"
#include "simd/macros.h"

namespace fovea {

namespace {

constexpr double kMostBytes = 256 * 1024;  // of a task's packed rows, and of its outputs: both stay in L2
constexpr int64_t kTasks = 64;
constexpr double kLeastFlops = 4e6;  // of one task: some 10 microseconds
constexpr int64_t kExactWords = 32;  // of each of six products, that are added up in one sum to be as exact as float32

class ConvStem : public Operation {
 public:
  ConvStem(const OpSpec& spec, const ConvGeometry& g, int planes)
      : g_(g),
        threads_(spec.threads),
        planes_(planes),
        kernels_(*brgemm_bf16_kernels()),
        products_(plane_products(planes)),
        has_bias_(operand_at(spec.inputs, 2).present),
        keeps_(keeps_weight(spec)),
        relu_(spec.attributes.text("activation") == "relu"),
        dest_type_(spec.outputs[0].dtype),
        blocks_(blocks(g.k)),
        step_(g.stride_w * g.c),
        phases_(step_ % 2 == 0 ? 1 : 2),
        // Of tiles of AMX, which multiply 16 words or fewer at once, parts of equal depth.
        parts_(kernels_.tile_rows > 1 ? ceil_div(g.s * g.c, kPairUnit) : 1),
        depth_(ceil_div(g.s * g.c, 2 * parts_) * parts_),
        past_caches_(!wants_epilogue(spec) &&
                     stored_past_caches(static_cast<double>(g.n * blocks_ * kBlock) * static_cast<double>(g.p * g.q) *
                                        static_cast<double>(dtype_bytes(dest_type_)))) {
    const int64_t width = (g.q - 1) * g.stride_w + g.s;
    pixels_ = std::clamp<int64_t>(width - g.left, 0, g.w);
    // To the end of the last window, and of what is packed sixteen pixels at a time.
    const int64_t values = std::max((g.q - 1) * step_ + 2 * depth_, (g.left + ceil_div(pixels_, 16) * 16) * g.c);
    pitch_ = ceil_div(values, 2 * kBlock) * kBlock;
    columns_ = static_cast<int>(choose_tiles(kernels_, ceil_div(g.q, phases_), blocks_,
                                             std::min<int64_t>(g.r * depth_ * product_count(), 144), spec.tile_blocks)
                                    .nb);
    choose_band();
    const int64_t plane = packed_rows(band_) * pitch_, panel = depth_ * kBlock;
    for (int64_t r = 0; r < g.r; ++r) {
      for (int64_t q = 0; q < depth_; q += depth_ / parts_) {
        for (const auto& [x, w] : products_)
          entries_.push_back({r * g.dilation_h * pitch_ + x * plane + q, (r * planes_ + w) * panel + q * kBlock});
      }
    }
    rows_at_once_ = planes == kMaxPlanes ? std::clamp<int64_t>(kExactWords / depth_, 1, g.r) : g.r;
    for (int64_t phase = 0; phase < phases_; ++phase) {
      const int64_t outputs = (g.q - phase + phases_ - 1) / phases_;
      const int64_t tiles = ceil_div(outputs, kernels_.rows[columns_ - 1]);
      for (int64_t i = 0; i < tiles; ++i) {
        const int64_t first = outputs * i / tiles, column = phase + first * phases_;
        tiles_.push_back({column * step_, column * kBlock, static_cast<int>(outputs * (i + 1) / tiles - first)});
      }
    }
  }

  size_t workspace_bytes() const override {
    return static_cast<size_t>((keeps_ ? 0 : prepared_floats()) + threads_ * scratch_floats()) * sizeof(float);
  }

  Kept kept() const override { return kept_weight(keeps_, prepared_floats()); }

  int64_t epilogue_slots() const override { return g_.n * bands_; }

  Status run(const RunContext& context) const override {
    const WeightMemory memory = weight_memory(context, context.workspace, keeps_, prepared_floats());
    float *const panels = memory.made, *const bias = panels + blocks_ * panel_floats(), *const scratch = memory.rest;
    if (!context.holds) prepare(context, panels, bias, scratch);
    context.pool.parallel_for(
        g_.n * bands_,
        [&](int64_t index, int thread) {
          if (context.cancelled.load(std::memory_order_relaxed)) return;
          run_task(context, index, panels, bias, scratch + thread * scratch_floats());
        },
        nanoseconds_of_flops(g_.flops() / bf16_speed(planes_)));
    return context.cancelled.load(std::memory_order_relaxed) ? Status(Code::kAborted, "cancelled") : Status();
  }

  std::vector<std::vector<double>> loops() const override {
    std::vector<double> tasks;
    for (int64_t i = 0; i < g_.n * bands_; ++i) tasks.push_back(static_cast<double>(rows_of(i % bands_)));
    return {std::vector<double>(static_cast<size_t>(blocks_), 1), tasks};
  }

  std::string describe() const override {
    return std::string("bf16: ") + kernels_.name + " x" + std::to_string(columns_ * kBlock) + ", " +
           std::to_string(product_count()) + " products, interleaved, rows " + std::to_string(band_) + ", tasks " +
           std::to_string(g_.n * bands_);
  }

 private:
  struct Tile {
    int64_t a, c;  // bfloat16 from the start of a packed row, floats from that of a row of outputs
    int m;
  };

  void choose_band() {
    const auto bytes = [&](int64_t band) {
      return std::max(static_cast<double>(packed_rows(band) * pitch_ * planes_),
                      static_cast<double>(band * g_.q * blocks_ * kBlock)) *
             4;
    };
    const int64_t wanted = std::clamp<int64_t>(static_cast<int64_t>(g_.flops() / kLeastFlops), 1, kTasks);
    const int64_t cuts = std::min(g_.p, ceil_div(wanted, g_.n));
    int64_t band = ceil_div(g_.p, cuts);
    while (band > 1 && bytes(band) > kMostBytes) --band;
    bands_ = ceil_div(g_.p, band);
    band_ = ceil_div(g_.p, bands_);
    bands_ = ceil_div(g_.p, band_);
  }

  int64_t product_count() const { return static_cast<int64_t>(products_.size()); }
  int64_t packed_rows(int64_t outputs) const { return (outputs - 1) * g_.stride_h + (g_.r - 1) * g_.dilation_h + 1; }
  int64_t panel_floats() const { return g_.r * planes_ * depth_ * kBlock; }  // of 16 filters
  int64_t packed_floats() const { return planes_ * packed_rows(band_) * pitch_; }
  // Of a row of outputs, where they are rounded and there is more than one sum to each.
  int64_t sum_floats() const {
    return dest_type_ == DType::kBfloat16 && rows_at_once_ < g_.r ? columns_ * g_.q * kBlock : 0;
  }
  int64_t scratch_floats() const { return apart(std::max(packed_floats() + sum_floats(), 2 * depth_ * kBlock)); }
  int64_t rows_of(int64_t band) const { return std::min(band_, g_.p - band * band_); }

  int64_t prepared_floats() const { return blocks_ * (panel_floats() + kBlock); }  // panels and the bias

  void prepare(const RunContext& context, float* panels, float* bias, float* scratch) const {
    context.pool.parallel_for(
        blocks_,
        [&](int64_t block, int thread) {
          pack_panel(context, block, scratch + thread * scratch_floats(), panels + block * panel_floats());
        },
        nanoseconds_of(static_cast<double>(8 * blocks_ * panel_floats())));
    for (int64_t i = 0; i < blocks_ * kBlock; ++i) bias[i] = has_bias_ && i < g_.k ? context.in<float>(2)[i] : 0;
  }

  // [row of the filter][plane][word][16 filters]
  void pack_panel(const RunContext& context, int64_t block, float* rows, float* panel) const {
    const int64_t filters = std::min<int64_t>(kBlock, g_.k - block * kBlock), taps = g_.taps();
    const float* const weight = context.in<float>(1) + block * kBlock * g_.c * taps;
    for (int64_t r = 0; r < g_.r; ++r) {
      std::memset(rows, 0, static_cast<size_t>(2 * depth_ * kBlock) * sizeof(float));
      for (int64_t i = 0; i < g_.s * g_.c; ++i) {
        const int64_t place = i % g_.c * taps + g_.weight_tap(r, i / g_.c);
        for (int64_t k = 0; k < filters; ++k) rows[i * kBlock + k] = weight[k * g_.c * taps + place];
      }
      bf16_kernels()->rows(rows, depth_, planes_, panel + r * planes_ * depth_ * kBlock, depth_ * kBlock);
    }
  }

  // [plane][row][pitch]: the rows that so many outputs from `first` on need of one image.
  void pack_band(const float* image, int64_t first, int64_t outputs, float* packed) const {
    const int64_t plane = packed_rows(band_) * pitch_;
    const size_t row_bytes = static_cast<size_t>(pitch_) * sizeof(float);
    const size_t left = static_cast<size_t>(2 * g_.left * g_.c), right = left + static_cast<size_t>(2 * pixels_ * g_.c);
    for (int64_t i = 0; i < packed_rows(outputs); ++i, packed += pitch_) {
      const int64_t row = first * g_.stride_h - g_.top + i;
      const bool inside = row >= 0 && row < g_.h && pixels_ > 0;
      char* const bytes = reinterpret_cast<char*>(packed);
      if (inside) {
        bf16_kernels()->interleave(image + row * g_.w, g_.h * g_.w, static_cast<int>(g_.c), pixels_, planes_,
                                   reinterpret_cast<float*>(bytes + left), plane);
      }
      for (int64_t p = 0; p < planes_; ++p) {
        char* const line = bytes + static_cast<size_t>(p * plane) * sizeof(float);
        std::memset(line, 0, inside ? left : row_bytes);
        if (inside) std::memset(line + right, 0, row_bytes - right);
      }
    }
  }

  void run_task(const RunContext& context, int64_t index, const float* panels, const float* bias, float* packed) const {
    const int64_t image = index / bands_, first = index % bands_ * band_, rows = rows_of(index % bands_);
    const int64_t line = g_.q * kBlock, plane = g_.p * line;
    const MutableValues dest(context.outputs[0], dest_type_);
    const BrgemmScope scope(kernels_);
    pack_band(context.in<float>(0) + image * g_.c * g_.h * g_.w, first, rows, packed);
    bool not_finite = false;
    BrgemmCall call{};
    call.depth = depth_ / parts_;
    call.a_step = phases_ * step_ / 2;
    call.b_block = panel_floats();
    call.c_row = phases_ * kBlock;
    call.c_block = dest.half() ? line : plane;
    call.rounded_row = call.c_row;
    call.rounded_block = plane;
    for (int64_t row = 0; row < rows; ++row) {
      const float* const source = packed + row * g_.stride_h * pitch_;
      for (int64_t block = 0; block < blocks_; block += columns_) {
        const MutableValues target = dest + ((image * blocks_ + block) * plane + (first + row) * line);
        const int nb = static_cast<int>(std::min<int64_t>(columns_, blocks_ - block));
        call.b = panels + block * panel_floats();
        add_row(source, dest.half() ? packed + packed_floats() : target.floats(),
                dest.half() ? target.halves() : nullptr, has_bias_ ? bias + block * kBlock : nullptr, nb, &not_finite,
                call);
      }
    }
    if (past_caches_) stores_are_seen();
    if (not_finite) report_not_finite(context);
    for (int64_t block = 0; block < blocks_ && context.epilogue; ++block)
      context.epilogue->finish({index, image, block, first, rows, 0, g_.q});
  }

  // One row of outputs of `nb` blocks of filters, to `target`, or rounded.
  void add_row(const float* source, float* target, Bfloat16* rounded, const float* bias, int nb, bool* not_finite,
               BrgemmCall call) const {
    for (int64_t r = 0; r < g_.r; r += rows_at_once_) {
      const bool last = r + rows_at_once_ >= g_.r;
      call.entries = entries_.data() + r * parts_ * product_count();
      call.count = std::min(rows_at_once_, g_.r - r) * parts_ * product_count();
      call.accumulate = r > 0;
      call.bias = last ? bias : nullptr;
      call.relu = last && relu_;
      call.not_finite = last ? not_finite : nullptr;
      call.past_caches = last && past_caches_;
      for (const Tile& tile : tiles_) {
        call.a = reinterpret_cast<const float*>(reinterpret_cast<const char*>(source) + 2 * tile.a);
        call.c = target + tile.c;
        call.rounded = last && rounded ? rounded + tile.c : nullptr;
        kernels_.at(BrgemmRows::kRows, tile.m, nb)(call);
      }
    }
  }

  ConvGeometry g_;
  int threads_;
  int64_t planes_;
  const BrgemmKernels& kernels_;
  std::vector<std::pair<int, int>> products_;  // of planes, image and weight, that are added up
  bool has_bias_, keeps_, relu_;
  DType dest_type_;        // of the outputs in memory
  int64_t blocks_, step_;  // of 16 filters; values from an output's window to the next
  int64_t phases_;         // columns of outputs a whole number of words apart
  int64_t parts_, depth_;  // words under one row of the filter, in so many entries
  bool past_caches_;       // see BrgemmCall
  int64_t pixels_ = 0;     // of a source row, that windows reach
  int64_t pitch_ = 0;      // words of a packed row
  int columns_ = 1;        // blocks of filters that a tile takes at once
  int64_t band_ = 1, bands_ = 1, rows_at_once_ = 1;
  std::vector<BrgemmEntry> entries_;  // [row of the filter][product]
  std::vector<Tile> tiles_;           // of one row of outputs
};

}  // namespace

bool supports_stem(const ConvGeometry& g) {
  return g.c <= kInterleavedMost && g.groups == 1 && g.dilation_w == 1 && g.mode == PaddingMode::kZeros;
}

bool stem_wins(const OpSpec& spec, const ConvGeometry& g) {
  const BrgemmKernels* kernels = brgemm_bf16_kernels();
  if (!kernels || !supports_stem(g)) return false;
  const int64_t words = ceil_div(g.s * g.c, 2), tile = kernels->tile_rows > 1 ? kBlock : 1;
  const double used = static_cast<double>(words) / static_cast<double>(ceil_div(words, tile) * tile);
  return used * bf16_speed(bf16_planes(spec.precision)) > 1.2;
}

Status check_stem_size(const ConvGeometry& g) {
  const double row = static_cast<double>(g.q * g.stride_w + g.s + g.left) * static_cast<double>(g.c) *
                     static_cast<double>(g.r * g.dilation_h + g.stride_h);
  const double weight = static_cast<double>(g.k) * static_cast<double>(g.taps()) * static_cast<double>(g.c);
  if (row + weight < static_cast<double>(int64_t{1} << 36)) return {};
  return {Code::kMemory, "convolution workspace would exceed 1 TiB"};
}

Status make_stem(const OpSpec& spec, const ConvGeometry& g, int planes, std::unique_ptr<Operation>* operation) {
  FOVEA_RETURN_IF_ERROR(check_stem_size(g));
  *operation = std::make_unique<ConvStem>(spec, g, planes);
  return {};
}

}  // namespace fovea
