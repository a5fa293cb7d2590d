#include "ops/conv_epilogue.h"

#include <algorithm>
#include <cstring>

#include "kernels/norm/norm.h"
#include "ops/check.h"
#include "ops/conv_geometry.h"
#include "ops/parallel.h"

namespace fovea {

namespace {

// The output [n][blocks][h][w][16].
struct Image {
  explicit Image(const std::vector<int64_t>& shape)
      : n(shape[0]), channels(shape[1]), blocks(fovea::blocks(channels)), h(shape[2]), w(shape[3]) {}

  int64_t pixel(const ConvPart& part) const {
    return ((part.image * blocks + part.block) * h + part.row) * w + part.column;
  }
  // Whole rows follow each other without a gap.
  NormPart rectangle(const ConvPart& part) const {
    if (part.columns == w) return {1, part.rows * w, part.rows * w};
    return {part.rows, part.columns, w};
  }

  int64_t n, channels, blocks, h, w;
};

// Memory of one run: sums[slot][block], and channels as whole blocks.
template <class Sums>
struct Slots {
  int64_t count = 0, blocks = 0;

  size_t bytes() const { return static_cast<size_t>(count * blocks) * sizeof(Sums); }
  Sums* at(std::byte* memory, int64_t slot, int64_t block) const {
    return reinterpret_cast<Sums*>(memory) + slot * blocks + block;
  }
};

// "add + mask": the words that apply.
std::string join_words(std::initializer_list<std::pair<bool, const char*>> words) {
  std::string text;
  for (const auto& [applies, word] : words)
    if (applies) text += (text.empty() ? "" : " + ") + std::string(word);
  return text;
}

// T is how y lies in memory: what follows a convolution reads it as it was rounded.
template <class T>
class Forward {
 public:
  explicit Forward(const OpSpec& spec) : image_(spec.outputs[0].shape) {
    const auto present = [&](size_t i) { return i < spec.outputs.size() && spec.outputs[i].present; };
    statistics_ = present(1), mask_ = present(3);
    add_ = operand_at(spec.inputs, 3).present;
    relu_ = spec.attributes.text("activation") == "relu";
  }

  void set_slots(int64_t slots) { slots_ = {slots, image_.blocks}; }
  size_t bytes() const { return statistics_ ? slots_.bytes() : 0; }
  const Image& image() const { return image_; }

  void begin(const RunContext&, std::byte* memory) const { std::memset(memory, 0, bytes()); }

  ConvEpilogue::Added added(const RunContext& context) const {
    if (!add_) return {};
    return {reinterpret_cast<const std::byte*>(context.in<T>(3)), relu_};
  }
  const std::byte* read(const RunContext&) const { return nullptr; }

  void finish(const RunContext& context, std::byte* memory, const ConvPart& part, bool adds) const {
    const int64_t pixel = image_.pixel(part);
    T* const y = context.out<T>(0) + pixel * kBlock;
    if (add_ && adds) kernels_.part_add(image_.rectangle(part), {y, context.in<T>(3) + pixel * kBlock, relu_});
    if (statistics_) kernels_.part_moments(y, image_.rectangle(part), slots_.at(memory, part.slot, part.block));
    if (mask_) kernels_.part_mask(y, image_.rectangle(part), context.out<uint8_t>(3) + 2 * pixel);
  }

  // mean = Σ x / M and variance = Σ (x - mean)² / M from the sums about each slot's center c over its n elements:
  // Σ x = n c + sum, Σ (x - mean)² = square - sum² / n + n (c + sum / n - mean)².
  void end(const RunContext& context, std::byte* memory, int64_t block) const {
    if (!statistics_) return;
    const double elements = static_cast<double>(image_.n * image_.h * image_.w);
    double mean[kBlock] = {}, m2[kBlock] = {};
    for_slots(memory, block, [&](const NormPartMoments& s, double) {
      for (int i = 0; i < kBlock; ++i) mean[i] += s.count * static_cast<double>(s.center[i]) + s.sum[i];
    });
    for (double& m : mean) m /= elements;
    for_slots(memory, block, [&](const NormPartMoments& s, double inverse) {
      for (int i = 0; i < kBlock; ++i) {
        const double distance = static_cast<double>(s.center[i]) + s.sum[i] * inverse - mean[i];
        m2[i] += s.square[i] - s.sum[i] * s.sum[i] * inverse + s.count * distance * distance;
      }
    });
    const int64_t first = block * kBlock, lanes = std::min<int64_t>(kBlock, image_.channels - first);
    for (int64_t i = 0; i < lanes; ++i) {
      context.out<float>(1)[first + i] = static_cast<float>(mean[i]);
      context.out<float>(2)[first + i] = static_cast<float>(std::max(0.0, m2[i] / elements));
    }
  }

  std::string describe() const { return join_words({{add_, "add"}, {statistics_, "statistics"}, {mask_, "mask"}}); }

 private:
  template <class Body>
  void for_slots(std::byte* memory, int64_t block, const Body& body) const {
    for (int64_t slot = 0; slot < slots_.count; ++slot) {
      const NormPartMoments& sums = *slots_.at(memory, slot, block);
      if (sums.count > 0) body(sums, 1 / sums.count);
    }
  }

  Image image_;
  bool add_ = false, relu_ = false, statistics_ = false, mask_ = false;
  Slots<NormPartMoments> slots_;
  const NormKernelsOf<T>& kernels_ = norm_kernels_of<T>();
};

// T is how dx, the other gradient and x lie in memory.
template <class T>
class Gradient {
 public:
  explicit Gradient(const OpSpec& spec) : image_(spec.outputs[0].shape) {
    const auto present = [&](size_t i) { return i < spec.inputs.size() && spec.inputs[i].present; };
    add_ = present(2), mask_ = present(3), sums_ = present(4);
  }

  void set_slots(int64_t slots) { slots_ = {slots, image_.blocks}; }
  size_t bytes() const { return sums_ ? slots_.bytes() + mean_bytes() : 0; }
  const Image& image() const { return image_; }

  void begin(const RunContext& context, std::byte* memory) const {
    if (!sums_) return;
    std::memset(memory, 0, bytes());
    std::memcpy(memory + slots_.bytes(), context.in<float>(5), static_cast<size_t>(image_.channels) * sizeof(float));
  }

  ConvEpilogue::Added added(const RunContext& context) const {
    if (!add_) return {};
    return {reinterpret_cast<const std::byte*>(context.in<T>(2)), false};
  }
  const std::byte* read(const RunContext& context) const {
    return sums_ ? reinterpret_cast<const std::byte*>(context.in<T>(4)) : nullptr;
  }

  void finish(const RunContext& context, std::byte* memory, const ConvPart& part, bool adds) const {
    const int64_t pixel = image_.pixel(part), offset = pixel * kBlock;
    NormPartGradient<T> call{};
    call.g = context.out<T>(0) + offset;
    if (add_ && adds) call.add = context.in<T>(2) + offset;
    if (mask_) call.mask = context.in<uint8_t>(3) + 2 * pixel;
    if (sums_) {
      call.x = context.in<T>(4) + offset;
      call.mean = reinterpret_cast<const float*>(memory + slots_.bytes()) + part.block * kBlock;
      call.sums = slots_.at(memory, part.slot, part.block);
    }
    kernels_.part_gradient(image_.rectangle(part), call);
  }

  void end(const RunContext& context, std::byte* memory, int64_t block) const {
    if (!sums_) return;
    double g[kBlock] = {}, gx[kBlock] = {};
    for (int64_t slot = 0; slot < slots_.count; ++slot) {
      const NormSums& sums = *slots_.at(memory, slot, block);
      for (int i = 0; i < kBlock; ++i) g[i] += sums.g[i], gx[i] += sums.gx[i];
    }
    const int64_t first = block * kBlock, lanes = std::min<int64_t>(kBlock, image_.channels - first);
    for (int64_t i = 0; i < lanes; ++i) {
      context.out<float>(1)[first + i] = static_cast<float>(g[i]);
      context.out<float>(1)[image_.channels + first + i] = static_cast<float>(gx[i]);
    }
  }

  std::string describe() const { return join_words({{add_, "add"}, {mask_, "mask"}, {sums_, "sums"}}); }

 private:
  size_t mean_bytes() const { return static_cast<size_t>(image_.blocks * kBlock) * sizeof(float); }

  Image image_;
  bool add_ = false, mask_ = false, sums_ = false;
  Slots<NormSums> slots_;
  const NormKernelsOf<T>& kernels_ = norm_kernels_of<T>();
};

template <class Work>
class WithEpilogue : public Operation {
 public:
  WithEpilogue(std::unique_ptr<Operation> conv, const OpSpec& spec) : conv_(std::move(conv)), work_(spec) {
    const int64_t slots = conv_->epilogue_slots();
    fused_ = slots > 0;
    work_.set_slots(fused_ ? slots : ceil_div(work_.image().n, images_per_slot()));
    own_bytes_ = (work_.bytes() + 63) / 64 * 64;
  }

  size_t workspace_bytes() const override { return own_bytes_ + conv_->workspace_bytes(); }
  Kept kept() const override { return conv_->kept(); }

  Status run(const RunContext& context) const override {
    std::byte* const memory = context.workspace;
    work_.begin(context, memory);
    const Run epilogue(context, memory, work_);
    RunContext inner = context;
    inner.workspace = memory + own_bytes_;
    inner.epilogue = fused_ ? &epilogue : nullptr;
    FOVEA_RETURN_IF_ERROR(conv_->run(inner));
    if (!fused_) FOVEA_RETURN_IF_ERROR(pass(context, epilogue));
    return for_tasks(context, work_.image().blocks, [&](int64_t block) { work_.end(context, memory, block); });
  }

  std::string describe() const override {
    return conv_->describe() + (fused_ ? ", with " : ", then ") + work_.describe();
  }

 private:
  struct Run : ConvEpilogue {
    Run(const RunContext& context, std::byte* memory, const Work& work)
        : context(context), memory(memory), work(work) {}
    Added added() const override { return work.added(context); }
    const std::byte* read() const override { return work.read(context); }
    void finish(const ConvPart& part, bool adds) const override { work.finish(context, memory, part, adds); }
    void restart() const override { work.begin(context, memory); }
    const RunContext& context;
    std::byte* memory;
    const Work& work;
  };

  int64_t images_per_slot() const {
    const Image& image = work_.image();
    return std::max(ceil_div(image.n, kMostSlots), units_per_task(image.h * image.w * kBlock));
  }

  // After a convolution that could not do it on the way.
  Status pass(const RunContext& context, const ConvEpilogue& epilogue) const {
    const Image& image = work_.image();
    const int64_t images = images_per_slot(), slots = ceil_div(image.n, images);
    return for_tasks(context, slots * image.blocks, [&](int64_t task) {
      const int64_t slot = task / image.blocks, end = std::min(image.n, (slot + 1) * images);
      for (int64_t n = slot * images; n < end; ++n)
        epilogue.finish({slot, n, task % image.blocks, 0, image.h, 0, image.w});
    });
  }

  static constexpr int64_t kMostSlots = 64;
  std::unique_ptr<Operation> conv_;
  Work work_;
  bool fused_ = false;
  size_t own_bytes_ = 0;
};

bool any_present(const std::vector<Operand>& operands, size_t from) {
  return std::any_of(operands.begin() + static_cast<ptrdiff_t>(std::min(from, operands.size())), operands.end(),
                     [](const Operand& operand) { return operand.present; });
}

// Bits of every pixel, in pairs of bytes: [N, ceil(C / 16), H, W, 2].
void check_mask(SpecCheck& check, const Operand& mask, const std::vector<int64_t>& image) {
  check.plain(mask, "mask", DType::kUint8);
  check.shape(mask, "mask", {image[0], blocks(image[1]), image[2], image[3], 2});
}

}  // namespace

bool wants_epilogue(const OpSpec& spec) {
  return any_present(spec.outputs, 1) || any_present(spec.inputs, spec.name == "conv2d" ? 3 : 2);
}

Status add_conv_epilogue(const OpSpec& spec, std::unique_ptr<Operation> conv, std::unique_ptr<Operation>* operation) {
  if (!wants_epilogue(spec)) {
    *operation = std::move(conv);
    return {};
  }
  SpecCheck check(spec, 4, 4);
  const Operand& y = spec.outputs[0];
  const std::vector<int64_t>& shape = y.shape;
  if (check.in(3).present) check.like(check.in(3), "add", y, y.dtype);
  check.require(check.out(1).present == check.out(2).present, Code::kOption, "mean and variance come together");
  check.vector(check.out(1), "mean", shape[1]);
  check.vector(check.out(2), "variance", shape[1]);
  if (check.out(3).present) check_mask(check, check.out(3), shape);
  FOVEA_RETURN_IF_ERROR(check.status());
  if (y.dtype == DType::kBfloat16)
    *operation = std::make_unique<WithEpilogue<Forward<Bfloat16>>>(std::move(conv), spec);
  else
    *operation = std::make_unique<WithEpilogue<Forward<float>>>(std::move(conv), spec);
  return {};
}

Status add_gradient_epilogue(const OpSpec& spec, std::unique_ptr<Operation> conv,
                             std::unique_ptr<Operation>* operation) {
  if (!wants_epilogue(spec)) {
    *operation = std::move(conv);
    return {};
  }
  SpecCheck check(spec, 6, 2);
  const Operand& dx = spec.outputs[0];
  if (check.in(2).present) check.like(check.in(2), "add", dx, dx.dtype);
  if (check.in(3).present) check_mask(check, check.in(3), dx.shape);
  const bool sums = check.out(1).present;
  check.require(check.in(4).present == sums && check.in(5).present == sums, Code::kOption,
                "x, mean and the sums come together");
  if (sums) {
    check.like(check.in(4), "x", dx, dx.dtype);
    check.vector(check.in(5), "mean", dx.shape[1]);
    check.plain(check.out(1), "sums");
    check.shape(check.out(1), "sums", {2, dx.shape[1]});
  }
  FOVEA_RETURN_IF_ERROR(check.status());
  if (dx.dtype == DType::kBfloat16)
    *operation = std::make_unique<WithEpilogue<Gradient<Bfloat16>>>(std::move(conv), spec);
  else
    *operation = std::make_unique<WithEpilogue<Gradient<float>>>(std::move(conv), spec);
  return {};
}

}  // namespace fovea
