// Steps that need a message whole, done to one that a stream brought.
#include <algorithm>
#include <array>

#include "core/bytes.h"
#include "rules/dns_message.h"
#include "rules/sip_message.h"
#include "rules/steps.h"
#include "rules/text_message.h"

namespace fettle {
namespace {

// Of one replacement: less than a packet of 1280 bytes, which IPv6 asks for, has room for.
constexpr uint32_t kMostReplaced = 1024;

// As few edits as tell all of it, for texts of equal length; few bytes between two that differ do
// not part them.
bool add_differences(std::span<const std::byte> old, std::span<const std::byte> now, uint32_t base,
                     EditList& list) {
  constexpr uint32_t kGap = 32;
  const auto size = static_cast<uint32_t>(old.size());
  for (uint32_t at = 0; at < size; ++at) {
    if (old[at] == now[at]) continue;
    const uint32_t most = std::min(size, at + kMostReplaced);
    uint32_t end = at + 1;
    for (uint32_t i = end; i < most && i < end + kGap; ++i) {
      if (old[i] != now[i]) end = i + 1;
    }
    if (!list.add(base + at, end - at, now.subspan(at, end - at))) return false;
    at = end - 1;
  }
  return true;
}

// What lies between equal beginnings and ends, in pieces of both.
bool add_rewritten(std::span<const std::byte> old, std::span<const std::byte> now, uint32_t base,
                   EditList& list) {
  const size_t shorter = std::min(old.size(), now.size());
  const auto front = static_cast<size_t>(
      std::ranges::mismatch(old.first(shorter), now.first(shorter)).in1 - old.begin());
  size_t back = 0;
  while (back < shorter - front && old[old.size() - 1 - back] == now[now.size() - 1 - back]) ++back;
  const size_t from = old.size() - front - back, to = now.size() - front - back;
  const size_t wanted = std::max(from, to) / kMostReplaced + 1;
  const size_t pieces = std::clamp<size_t>(wanted, 1, std::max<size_t>(from, 1));
  for (size_t i = 0; i < pieces; ++i) {
    const size_t old_at = from * i / pieces, old_end = from * (i + 1) / pieces;
    const size_t now_at = to * i / pieces, now_end = to * (i + 1) / pieces;
    if (!list.add(static_cast<uint32_t>(base + front + old_at),
                  static_cast<uint32_t>(old_end - old_at),
                  now.subspan(front + now_at, now_end - now_at))) {
      return false;
    }
  }
  return true;
}

// With its length in front, which stays as it is.
bool translate_stream_dns(const AddressTable& table, std::span<const std::byte> message,
                          EditList& list) {
  using Outcome = DnsTranslation::Outcome;
  const auto body = message.subspan(kDnsLength);
  std::array<std::byte, kLongestDnsMessage> out;
  const DnsTranslation done = translate_dns(body, table, out, DnsTransport::kStream);
  if (done.outcome != Outcome::kChanged) return done.outcome == Outcome::kUnchanged;
  const auto now = std::span<const std::byte>(out).first(done.size);
  if (now.size() == body.size()) return add_differences(body, now, kDnsLength, list);
  return add_rewritten(body, now, kDnsLength, list);
}

bool mend_dns_length(std::span<const std::byte> message, EditList& list) {
  const size_t old = message.size() - kDnsLength;
  size_t size = old;
  for (const StreamEdit& edit : list.edits()) {
    if (edit.offset < kDnsLength) return false;
    size += edit.with.size() - edit.length;
  }
  if (size == old) return true;
  if (size > 0xffff) return false;
  std::array<std::byte, kDnsLength> length;
  store_be16(length.data(), static_cast<uint16_t>(size));
  return list.add(0, kDnsLength, length);
}

}  // namespace

Framing framing_of(const CompiledStep& step) noexcept {
  switch (step.kind) {
    case StepKind::kContentLength:
    case StepKind::kSip:
    case StepKind::kSdp:
      return Framing::kText;
    case StepKind::kDns:
      return Framing::kDns;
    default:
      return Framing::kNone;
  }
}

bool find_message_edits(const CompiledStep& step, const StepData& data, Framing framing,
                        Family family, std::span<const std::byte> message,
                        EditWorkspace& workspace) noexcept {
  const Framing wanted = framing_of(step);
  if (wanted != Framing::kNone && wanted != framing) return true;
  bool gave_up = false;
  switch (step.kind) {
    case StepKind::kContentLength:
      return true;
    case StepKind::kDns:
      return translate_stream_dns(data.tables[step.first], message, workspace.list);
    case StepKind::kSip:
      find_sip(data.tables[step.first], message, workspace.list);
      break;
    case StepKind::kSdp:
      find_sdp(data.tables[step.first], message, workspace.list);
      break;
    default:
      find_edits(step, data, family, {.bytes = message, .before = {}}, workspace, &gave_up);
      break;
  }
  return !gave_up && !workspace.list.full();
}

bool mend_message_length(Framing framing, std::span<const std::byte> message,
                         EditList& list) noexcept {
  switch (framing) {
    case Framing::kNone:
      return true;
    case Framing::kText:
      return mend_content_length(message, list);
    case Framing::kDns:
      return mend_dns_length(message, list);
  }
  return true;
}

}  // namespace fettle
