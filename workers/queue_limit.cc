#include "workers/queue_limit.h"

namespace fettle {
namespace {
// Under a load just below the maximum the queue runs empty now and then, too.
constexpr uint32_t kCalm = 32;
}  // namespace

std::optional<uint32_t> QueueLimit::lower() noexcept {
  lowered_ = true;
  calm_ = 0;
  return overload_;
}

std::optional<uint32_t> QueueLimit::rise(bool emptied) noexcept {
  if (emptied) {
    ++calm_;
  } else if (calm_ > 0) {
    --calm_;
  }
  if (calm_ < kCalm) return std::nullopt;
  lowered_ = false;
  since_empty_ = 0;
  return burst_;
}

}  // namespace fettle
