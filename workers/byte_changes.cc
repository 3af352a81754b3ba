#include "workers/byte_changes.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/bytes.h"

namespace fettle {
namespace {

using Bytes = std::span<const std::byte>;

constexpr size_t kJoined = 2;  // equal bytes between two changes that are told as one

void add(ByteChanges* out, size_t at, Bytes before, Bytes after) noexcept {
  if (out->count++ >= ByteChanges::kShown) return;
  ByteChange& change = out->shown[out->count - 1];
  change.at = static_cast<uint32_t>(at);
  change.before_size = static_cast<uint32_t>(before.size());
  change.after_size = static_cast<uint32_t>(after.size());
  std::ranges::copy(before.first(std::min(before.size(), ByteChange::kBytes)),
                    change.before.begin());
  std::ranges::copy(after.first(std::min(after.size(), ByteChange::kBytes)), change.after.begin());
}

// Of equal length; both stand at `at`.
void compare(ByteChanges* out, size_t at, Bytes before, Bytes after) noexcept {
  for (size_t from = 0; from < before.size(); ++from) {
    if (before[from] == after[from]) continue;
    size_t end = from + 1;
    for (size_t i = end; i < before.size() && i - end <= kJoined; ++i) {
      if (before[i] != after[i]) end = i + 1;
    }
    add(out, at + from, before.subspan(from, end - from), after.subspan(from, end - from));
    from = end;
  }
}

// What both begin and end with is left out.
void compare_lengths(ByteChanges* out, size_t at, Bytes before, Bytes after) noexcept {
  const size_t most = std::min(before.size(), after.size());
  size_t front = 0, back = 0;
  while (front < most && before[front] == after[front]) ++front;
  while (back < most - front && before[before.size() - 1 - back] == after[after.size() - 1 - back])
    ++back;
  add(out, at + front, before.subspan(front, before.size() - front - back),
      after.subspan(front, after.size() - front - back));
}

std::string hex(const std::array<std::byte, ByteChange::kBytes>& bytes, uint32_t size) {
  std::string out;
  for (size_t i = 0; i < std::min<size_t>(size, bytes.size()); ++i) {
    out += fmt::format("{:02x}", load_u8(&bytes[i]));
  }
  return size > bytes.size() ? out + ".." : out;
}

std::string_view verb_of(const ByteChange& change) {
  return change.before_size == 0 ? "insert" : change.after_size == 0 ? "delete" : "change";
}

// `named`: the verb and the unit are those of the one before.
std::string change_text(const ByteChange& change, bool named) {
  const uint32_t gone = change.before_size, come = change.after_size;
  const uint32_t size = gone == 0 ? come : gone;
  std::string out = named ? "" : fmt::format("{} ", verb_of(change));
  out += fmt::format("{}{} at {}", size, named ? "" : size == 1 ? " byte" : " bytes", change.at);
  if (gone > 0 && come > 0 && gone != come) out += fmt::format(" to {}", come);
  return out + ": " + hex(change.before, gone) + (gone > 0 && come > 0 ? " -> " : "") +
         hex(change.after, come);
}

}  // namespace

ByteChanges find_changes(Bytes before, Bytes after, size_t headers) noexcept {
  ByteChanges out;
  headers = std::min({headers, before.size(), after.size()});
  compare(&out, 0, before.first(headers), after.first(headers));
  const Bytes left = before.subspan(headers), right = after.subspan(headers);
  if (left.size() == right.size()) {
    compare(&out, headers, left, right);
  } else {
    compare_lengths(&out, headers, left, right);
  }
  return out;
}

std::string changes_text(const ByteChanges& changes) {
  std::string out;
  const size_t shown = std::min<size_t>(changes.count, ByteChanges::kShown);
  for (size_t i = 0; i < shown; ++i) {
    const ByteChange& change = changes.shown[i];
    const bool named = i > 0 && verb_of(change) == verb_of(changes.shown[i - 1]);
    out += (i > 0 ? ", " : "") + change_text(change, named);
  }
  if (changes.count > shown) out += fmt::format(", and at {} more places", changes.count - shown);
  return out;
}

}  // namespace fettle
