// Whether arrays hold what they held: a 64-bit number for every piece of them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace fovea {

class ThreadPool;

struct Bytes {
  const void* data;
  size_t count;
};

// Two contents of the same arrays that differ have different fingerprints, but for one chance in 2^64 of each piece
// that differs: good against accidents, not against somebody who looks for a collision.
std::vector<uint64_t> fingerprint(const std::vector<Bytes>& arrays, ThreadPool& pool);

}  // namespace fovea
