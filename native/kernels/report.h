// Which kernel stands behind each family on this CPU, under the cap: for people and for tests.
#pragma once
#include <string>
#include <utility>
#include <vector>

namespace fovea {

std::vector<std::pair<std::string, std::string>> kernel_report();  // family, kernel

}  // namespace fovea
