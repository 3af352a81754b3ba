#include "rules/pattern_set.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <string_view>
#include <thread>
#include <tuple>

#include <fmt/format.h>
#include <hs.h>

namespace fettle {
namespace {

// SINGLEMATCH: that a pattern occurs is all that is asked, so each is reported once.
unsigned flags_of(const PatternMatch& pattern) {
  return HS_FLAG_SINGLEMATCH | (pattern.ignore_case ? HS_FLAG_CASELESS : 0u) |
         (pattern.only_sifts ? HS_FLAG_PREFILTER : 0u);
}

void refuse(const PatternMatch& pattern, std::string_view reason,
            std::vector<Diagnostic>* diagnostics) {
  while (reason.ends_with('.')) reason.remove_suffix(1);
  diagnostics->push_back(
      {.severity = Severity::kError,
       .where = pattern.where,
       .width = static_cast<uint32_t>(pattern.pattern.size() + 2),
       .message =
           fmt::format("{}: found pattern '{}', which Vectorscan refuses: {}",
                       pattern.only_sifts ? "replace" : "payload", pattern.pattern, reason)});
}

auto key_of(const PatternMatch& pattern) {
  return std::tuple(pattern.pattern, pattern.ignore_case, pattern.only_sifts);
}

std::string take_message(hs_compile_error_t* error) {
  std::string out = error && error->message ? error->message : "no memory is left";
  if (error) hs_free_compile_error(error);
  return out;
}

bool is_right(const PatternMatch& pattern, std::vector<Diagnostic>* diagnostics) {
  hs_expr_info_t* info = nullptr;
  hs_compile_error_t* error = nullptr;
  if (hs_expression_info(pattern.pattern.c_str(), flags_of(pattern), &info, &error) != HS_SUCCESS) {
    refuse(pattern, take_message(error), diagnostics);
    return false;
  }
  const bool empty = info->min_width == 0;
  free(info);
  if (empty) refuse(pattern, "it matches every payload, as it matches no bytes", diagnostics);
  return !empty;
}

}  // namespace

struct alignas(64) PatternSet::Slot {
  ~Slot() { hs_free_scratch(scratch); }

  std::atomic<bool> taken = false;
  hs_scratch_t* scratch = nullptr;
  std::vector<uint64_t> found;  // a bit a pattern
};

PatternSet::PatternSet() = default;
PatternSet::PatternSet(PatternSet&&) noexcept = default;
PatternSet& PatternSet::operator=(PatternSet&&) noexcept = default;
PatternSet::~PatternSet() = default;

void PatternSet::FreeDatabase::operator()(hs_database* database) const noexcept {
  hs_free_database(database);
}

std::optional<PatternSet> PatternSet::build(const std::vector<const PatternMatch*>& patterns,
                                            std::vector<Diagnostic>* diagnostics) {
  PatternSet out;
  std::vector<const PatternMatch*> unique;
  bool right = true;
  for (const PatternMatch* pattern : patterns) {
    const auto next = static_cast<uint32_t>(unique.size());
    if (!out.numbers_.emplace(key_of(*pattern), next).second) {
      continue;
    }
    unique.push_back(pattern);
    right &= is_right(*pattern, diagnostics);
  }
  if (!right || (!unique.empty() && !out.make(unique, diagnostics))) return std::nullopt;
  return out;
}

bool PatternSet::make(const std::vector<const PatternMatch*>& unique,
                      std::vector<Diagnostic>* diagnostics) {
  std::vector<const char*> texts;
  std::vector<unsigned> flags, ids;
  for (const PatternMatch* pattern : unique) {
    texts.push_back(pattern->pattern.c_str());
    flags.push_back(flags_of(*pattern));
    ids.push_back(static_cast<unsigned>(ids.size()));
  }
  hs_database_t* database = nullptr;
  hs_compile_error_t* error = nullptr;
  const hs_error_t made =
      hs_compile_multi(texts.data(), flags.data(), ids.data(), static_cast<unsigned>(texts.size()),
                       HS_MODE_BLOCK, nullptr, &database, &error);
  if (made != HS_SUCCESS) {
    // Negative where no pattern is to blame by itself.
    const int at = error ? error->expression : -1;
    refuse(*unique[at < 0 ? 0 : static_cast<size_t>(at)], take_message(error), diagnostics);
    return false;
  }
  database_.reset(database);
  return make_slots(unique.front()->where, diagnostics);
}

bool PatternSet::make_slots(Location where, std::vector<Diagnostic>* diagnostics) {
  slot_count_ = size_t{2} * std::max(2u, std::thread::hardware_concurrency());
  slots_ = std::make_unique<Slot[]>(slot_count_);
  size_t scratch_size = 0;
  hs_database_size(database_.get(), &memory_);
  for (size_t i = 0; i < slot_count_; ++i) {
    Slot& slot = slots_[i];
    slot.found.resize((size() + 63) / 64);
    const hs_error_t made = i == 0 ? hs_alloc_scratch(database_.get(), &slot.scratch)
                                   : hs_clone_scratch(slots_[0].scratch, &slot.scratch);
    if (made != HS_SUCCESS) {
      diagnostics->push_back({.severity = Severity::kError,
                              .where = where,
                              .width = 1,
                              .message = fmt::format("payload: found no memory for scans by {} "
                                                     "patterns (Vectorscan's error {})",
                                                     size(), made)});
      return false;
    }
    hs_scratch_size(slot.scratch, &scratch_size);
    memory_ += scratch_size + slot.found.size() * sizeof(uint64_t);
  }
  return true;
}

uint32_t PatternSet::number_of(const PatternMatch& pattern) const {
  const auto at = numbers_.find(key_of(pattern));
  return at == numbers_.end() ? kNone : at->second;
}

// A thread finds the slot that it had before, as a rule, and with it what its cache still holds.
PatternSet::Slot& PatternSet::take_slot() const noexcept {
  static thread_local size_t last = 0;
  for (size_t at = last % slot_count_;; at = (at + 1) % slot_count_) {
    if (slots_[at].taken.exchange(true, std::memory_order_acquire)) continue;
    last = at;
    return slots_[at];
  }
}

bool PatternScan::finds(uint32_t number, const Packet& packet) noexcept {
  if (slot_ == nullptr) scan(packet);
  return slot_ != nullptr && (slot_->found[number / 64] >> number % 64 & 1) != 0;
}

void PatternScan::scan(const Packet& packet) noexcept {
  uint32_t offset = 0;
  if (!resolve(packet, Origin::kPayload, 0, &offset)) return;
  const uint32_t end = std::min(packet.size, packet.transport_end);
  slot_ = &patterns_.take_slot();
  const auto note = [](unsigned id, unsigned long long, unsigned long long, unsigned,
                       void* slot) noexcept {
    static_cast<PatternSet::Slot*>(slot)->found[id / 64] |= uint64_t{1} << id % 64;
    return 0;
  };
  hs_scan(patterns_.database_.get(), reinterpret_cast<const char*>(packet.data + offset),
          end - offset, 0, slot_->scratch, note, slot_);
}

void PatternScan::release() noexcept {
  std::ranges::fill(slot_->found, 0);
  slot_->taken.store(false, std::memory_order_release);
  slot_ = nullptr;
}

}  // namespace fettle
