#include "workers/progress.h"

#include <unistd.h>

#include <algorithm>
#include <string>

#include <fmt/format.h>

#include "workers/standard_streams.h"

namespace fettle {
namespace {
constexpr auto kInterval = std::chrono::milliseconds(100);
constexpr size_t kWidth = 40;
}  // namespace

Progress::Progress(std::optional<uint64_t> total, bool wanted)
    : total_(total),
      on_(wanted && isatty(STDERR_FILENO)),
      next_(std::chrono::steady_clock::now() + kInterval) {}

void Progress::show(uint64_t bytes, uint64_t packets) {
  if (!on_) return;
  const auto now = std::chrono::steady_clock::now();
  if (now < next_) return;
  next_ = now + kInterval;
  drawn_ = true;
  if (!total_ || *total_ == 0) {
    print_error(fmt::format("\r{} packets, {} MiB", packets, bytes >> 20));
  } else {
    const auto share = std::min(1.0, static_cast<double>(bytes) / static_cast<double>(*total_));
    const auto filled = static_cast<size_t>(share * kWidth);
    print_error(fmt::format("\r[{}{}] {:3.0f} % {} packets", std::string(filled, '#'),
                            std::string(kWidth - filled, '.'), share * 100, packets));
  }
}

void Progress::erase() {
  if (!drawn_) return;
  print_error("\r\033[K");
}

}  // namespace fettle
