#include "core/verdict_batch.h"

#include <cassert>
#include <cstring>

namespace fettle {
namespace {
constexpr size_t kMaxPadding = 3;
}

VerdictBatch::VerdictBatch(uint16_t queue, size_t max_packets)
    : queue_(queue),
      max_packets_(max_packets),
      heads_(max_packets * (kMaxVerdictHead + kMaxPadding)),
      vectors_(2 * max_packets + 1) {}

void VerdictBatch::add(uint32_t id, uint32_t verdict, const uint32_t* mark) noexcept {
  assert(packets_ < max_packets_);
  ++packets_;
  const bool set_mark = mark != nullptr;
  const uint32_t value = set_mark ? *mark : 0;
  // A count of 0 is more than any number of joins, so that one comparison asks for both.
  const bool same = run_.count - 1 < joins_ && run_.verdict == verdict &&
                    run_.set_mark == set_mark && run_.mark == value;
  if (!same) {
    close_run();
    run_ = {.last_id = id, .verdict = verdict, .mark = value, .set_mark = set_mark, .count = 0};
  }
  run_.last_id = id;
  ++run_.count;
}

void VerdictBatch::add_changed(uint32_t id, uint32_t verdict, const uint32_t* mark,
                               std::span<std::byte> payload, VerdictRoom room) noexcept {
  assert(packets_ < max_packets_);
  assert(!payload.empty() && payload.size() <= kMaxReturnedPayload);
  close_run();
  ++packets_;
  const VerdictRequest request{.id = id,
                               .verdict = verdict,
                               .mark = mark ? *mark : 0,
                               .set_mark = mark != nullptr,
                               .batch = false,
                               .payload_size = payload.size()};
  const size_t head = verdict_head_size(request);
  if (room.before >= head) {
    encode_verdict(payload.data() - head, queue_, request);
    append_vector(payload.data() - head, head + payload.size());
  } else {
    append_head(request);
    append_vector(payload.data(), payload.size());
  }
  append_zeros(padding_of(payload.size()), payload.data() + payload.size(), room.after);
}

void VerdictBatch::append_zeros(size_t count, std::byte* at, size_t room) noexcept {
  if (count == 0) return;
  if (room < count) {
    at = heads_.data() + head_used_;
    head_used_ += count;
  }
  std::memset(at, 0, count);
  append_vector(at, count);
}

void VerdictBatch::keep_apart(bool apart) noexcept {
  close_run();
  joins_ = apart ? 0 : kAnyNumber;
}

std::span<iovec> VerdictBatch::gather() noexcept {
  close_run();
  return {vectors_.data(), vectors_used_};
}

void VerdictBatch::clear() noexcept {
  packets_ = bytes_ = head_used_ = vectors_used_ = 0;
  run_ = {};
}

void VerdictBatch::close_run() noexcept {
  if (run_.count == 0) return;
  append_head({.id = run_.last_id,
               .verdict = run_.verdict,
               .mark = run_.mark,
               .set_mark = run_.set_mark,
               .batch = run_.count > 1});
  run_.count = 0;
}

void VerdictBatch::append_head(const VerdictRequest& request) noexcept {
  std::byte* at = heads_.data() + head_used_;
  const size_t size = encode_verdict(at, queue_, request);
  head_used_ += size;
  append_vector(at, size);
}

void VerdictBatch::append_vector(std::byte* at, size_t size) noexcept {
  bytes_ += size;
  if (vectors_used_ > 0) {
    iovec& last = vectors_[vectors_used_ - 1];
    if (static_cast<std::byte*>(last.iov_base) + last.iov_len == at) {
      last.iov_len += size;
      return;
    }
  }
  vectors_[vectors_used_++] = {.iov_base = at, .iov_len = size};
}

}  // namespace fettle
