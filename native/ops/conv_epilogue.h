// What is done with a convolution's output part by part, each right after it was written and while a cache holds it,
// instead of in a pass over memory of its own:
// - conv2d: a residual and the ReLU after it, statistics for the batch normalisation that follows, a ReLU's bits;
// - conv2dGradInput: another gradient added, the mask of a ReLU, the sums that a batch normalisation's gradient needs.
#pragma once
#include <memory>

#include "runtime/operation.h"

namespace fovea {

// A rectangle of one image in one block of 16 channels. Parts of one slot and block are finished one after another, by
// one thread and in an order that the shape decides; sums of one slot are added to those of the others at the end. Each
// element of the output belongs to exactly one part.
struct ConvPart {
  int64_t slot, image, block, row, rows, column, columns;
};

class ConvEpilogue {
 public:
  virtual ~ConvEpilogue() = default;
  // A tensor that lies like the output and is added to it, then perhaps ReLU. No `at`: none.
  struct Added {
    const std::byte* at = nullptr;
    bool relu = false;
  };
  virtual Added added() const = 0;
  // Another that finish() reads besides the output, or null: it may be asked for before.
  virtual const std::byte* read() const = 0;
  // `adds`: or the convolution has done what added() says.
  virtual void finish(const ConvPart& part, bool adds = true) const = 0;
  // Forgets all parts: the whole output is written once more.
  virtual void restart() const = 0;
};

// Whether an optional operand of conv2d or of conv2dGradInput asks for an epilogue. Such a convolution is cut alike for
// any number of threads, since the cut decides the order of the sums.
bool wants_epilogue(const OpSpec& spec);

// The convolution with what the optional operands ask for, in its epilogue if it can, else in a pass after it. Nothing
// else for a spec without them.
Status add_conv_epilogue(const OpSpec& spec, std::unique_ptr<Operation> conv, std::unique_ptr<Operation>* operation);
Status add_gradient_epilogue(const OpSpec& spec, std::unique_ptr<Operation> conv,
                             std::unique_ptr<Operation>* operation);

}  // namespace fovea
