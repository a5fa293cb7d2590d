// A convolution stream with what some hyperparameters need around it: channels of groups that do not fill whole blocks
// are moved into blocks of their own and back, and the gradient of a reflected, replicated or circular padding is
// folded back.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "ops/conv_stream.h"

namespace fovea {

// The direct sum's rows in a convolution's list of algorithms: whether it can do it, whether bfloat16 can, and whether
// the model prefers that. Narrow groups that lie rounded are for the depthwise algorithm.
inline bool direct_possible(const OpSpec& spec, const ConvGeometry& g) {
  return !g.narrow_groups() || !has_rounded(spec);
}
bool bf16_possible(const OpSpec& spec, const ConvGeometry& geometry);
bool bf16_wins(const OpSpec& spec, const ConvGeometry& geometry);
// The same for groups merged to fill blocks (ops/conv_merged.h).
bool merged_possible(const OpSpec& spec, const ConvGeometry& geometry);
bool bf16_merged_possible(const OpSpec& spec, const ConvGeometry& geometry);
bool merged_wins(const OpSpec& spec, const ConvGeometry& geometry);
bool bf16_merged_wins(const OpSpec& spec, const ConvGeometry& geometry);

// Whether each of `taps_w` columns of the filter gets a copy of its own, so that tiles of pixels run across short rows.
bool short_rows(const BrgemmKernels& kernels, int64_t rows, int64_t columns, int64_t blocks, int64_t taps,
                int64_t taps_w);

class ConvStages : public Operation {
 public:
  // Inputs of the operation: source 0, weight 1, bias 2 if has_bias; output 0.
  // source_channels and dest_channels are of all groups; dest_h × dest_w is the output, what the stream makes when
  // nothing is folded. fold_rows[h] lists the rows of the stream's image that fold onto output row h; empty for no
  // folding.
  struct Around {
    std::string name;
    int64_t source_channels = 0, dest_channels = 0, dest_h = 0, dest_w = 0;
    bool has_bias = false;
    std::vector<std::vector<int64_t>> fold_rows, fold_columns;
  };
  static Status make(const StreamProblem& problem, const Around& around, int threads,
                     std::unique_ptr<Operation>* operation);

  size_t workspace_bytes() const override;
  Kept kept() const override { return stream_.kept(); }
  Status run(const RunContext& context) const override;
  int64_t epilogue_slots() const override { return stream_floats_ > 0 ? 0 : stream_.epilogue_slots(); }
  std::vector<std::vector<double>> loops() const override { return stream_.loops(); }
  std::string describe() const override;

 private:
  ConvStream stream_;
  Around around_;
  DType source_type_ = DType::kFloat32, dest_type_ = DType::kFloat32;  // in memory; what is folded is float32
  int64_t images_ = 0, source_pixels_ = 0, stream_h_ = 0, stream_w_ = 0;
  int64_t stream_source_blocks_ = 0, stream_dest_blocks_ = 0;
  std::vector<int64_t> spread_, gather_;  // channel moves before and after the stream; empty for none
  size_t spread_floats_ = 0, stream_floats_ = 0, folded_floats_ = 0;

  void fold(const float* from, float* to) const;  // one block of one image
};

// Channel moves between channels as they are, in whole blocks, and groups that each start a block.
std::vector<int64_t> spread_groups(int64_t channels, int64_t groups);
std::vector<int64_t> gather_groups(int64_t channels, int64_t groups);
// For each index of the unpadded axis, the indices of the padded axis that the mode reads it through, in order.
std::vector<std::vector<int64_t>> fold_lists(int64_t size, int64_t before, int64_t after, PaddingMode mode);

}  // namespace fovea
