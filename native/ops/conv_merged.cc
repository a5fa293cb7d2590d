#include "ops/conv_merged.h"

#include <cstring>
#include <utility>

#include "ops/parallel.h"

namespace fovea {

namespace {

constexpr int64_t kMost = 4;  // of which up to three quarters of the products are with zeros

// Weights as they are, and as rows of a merged group: one filter is row_floats() of them, and stands part_floats()
// further on for each group before its own.
class Merged : public Operation {
 public:
  Merged(const ConvGeometry& g, bool has_bias, std::unique_ptr<Operation> conv)
      : g_(g), count_(merged_groups(g)), has_bias_(has_bias), conv_(std::move(conv)) {}

  size_t workspace_bytes() const override { return weight_bytes() + conv_->workspace_bytes(); }
  std::vector<std::vector<double>> loops() const override { return conv_->loops(); }
  std::string describe() const override { return conv_->describe() + ", groups merged by " + std::to_string(count_); }

 protected:
  int64_t part_floats() const { return g_.c_group() * g_.taps(); }
  int64_t row_floats() const { return count_ * part_floats(); }
  // Of filter k's own weights in its row.
  int64_t place(int64_t k) const { return k * row_floats() + k / g_.k_group() % count_ * part_floats(); }
  size_t weight_bytes() const { return static_cast<size_t>(round_up(g_.k * row_floats(), kBlock)) * sizeof(float); }

  ConvGeometry g_;
  int64_t count_;
  bool has_bias_;
  std::unique_ptr<Operation> conv_;
};

class MergedWeight : public Merged {
 public:
  using Merged::Merged;

  Kept kept() const override { return conv_->kept(); }
  int64_t epilogue_slots() const override { return conv_->epilogue_slots(); }

  Status run(const RunContext& context) const override {
    float* const weight = reinterpret_cast<float*>(context.workspace);
    if (!context.holds) {
      for (int64_t k = 0; k < g_.k; ++k) {
        std::memset(weight + k * row_floats(), 0, static_cast<size_t>(row_floats()) * sizeof(float));
        std::memcpy(weight + place(k), context.in<float>(1) + k * part_floats(),
                    static_cast<size_t>(part_floats()) * sizeof(float));
      }
    }
    const void* const inputs[] = {context.inputs[0], weight, has_bias_ ? context.inputs[2] : nullptr};
    RunContext merged = context;
    merged.inputs = inputs;
    merged.workspace += weight_bytes();
    return conv_->run(merged);
  }
};

class MergedGradient : public Merged {
 public:
  using Merged::Merged;

  Status run(const RunContext& context) const override {
    float* const gradient = reinterpret_cast<float*>(context.workspace);
    void* const outputs[] = {gradient, has_bias_ ? context.outputs[1] : nullptr};
    RunContext merged = context;
    merged.outputs = outputs;
    merged.workspace += weight_bytes();
    FOVEA_RETURN_IF_ERROR(conv_->run(merged));
    for (int64_t k = 0; k < g_.k; ++k) {
      std::memcpy(context.out<float>(0) + k * part_floats(), gradient + place(k),
                  static_cast<size_t>(part_floats()) * sizeof(float));
    }
    return {};
  }
};

}  // namespace

int64_t merged_groups(const ConvGeometry& g) {
  if (g.groups_align()) return 0;
  for (int64_t count = 2; count <= kMost; ++count) {
    if (g.groups % count == 0 && count * g.c_group() % kBlock == 0 && count * g.k_group() % kBlock == 0) return count;
  }
  return 0;
}

ConvGeometry merged_geometry(const ConvGeometry& g) {
  ConvGeometry merged = g;
  merged.merged = merged_groups(g);
  merged.groups /= merged.merged;
  return merged;
}

std::unique_ptr<Operation> with_merged_weight(const OpSpec& spec, const ConvGeometry& g,
                                              std::unique_ptr<Operation> conv) {
  return std::make_unique<MergedWeight>(g, operand_at(spec.inputs, 2).present, std::move(conv));
}

std::unique_ptr<Operation> with_merged_gradient(const OpSpec& spec, const ConvGeometry& g,
                                                std::unique_ptr<Operation> conv) {
  return std::make_unique<MergedGradient>(g, operand_at(spec.outputs, 1).present, std::move(conv));
}

}  // namespace fovea
