// All payload patterns of a rule set in one Vectorscan database, so that one scan of a payload says
// which of them occur in it, however many there are. Made when rules are compiled, memory for scans
// included; immutable afterwards but for that memory.
//
// Source: hs(3) as Vectorscan 5.4 documents it (block mode); its patterns are PCRE's without back
// references and arbitrary look-around.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "core/packet.h"
#include "rules/diagnostic.h"
#include "rules/rule.h"

struct hs_database;

namespace fettle {

class PatternSet {
 public:
  static constexpr uint32_t kNone = ~uint32_t{0};

  PatternSet();
  PatternSet(PatternSet&&) noexcept;
  PatternSet& operator=(PatternSet&&) noexcept;
  ~PatternSet();

  // Adds an error for each pattern that Vectorscan refuses; nothing where there was one. Equal
  // patterns share a number.
  static std::optional<PatternSet> build(const std::vector<const PatternMatch*>& patterns,
                                         std::vector<Diagnostic>* diagnostics);

  // kNone where it was not built with that pattern.
  uint32_t number_of(const PatternMatch& pattern) const;
  uint32_t size() const noexcept { return static_cast<uint32_t>(numbers_.size()); }
  size_t memory() const noexcept { return memory_; }  // bytes, of the database and for scans

 private:
  friend class PatternScan;
  struct Slot;
  struct FreeDatabase {
    void operator()(hs_database* database) const noexcept;
  };

  bool make(const std::vector<const PatternMatch*>& unique, std::vector<Diagnostic>* diagnostics);
  bool make_slots(Location where, std::vector<Diagnostic>* diagnostics);
  Slot& take_slot() const noexcept;

  // By pattern, ignore_case and only_sifts.
  std::map<std::tuple<std::string, bool, bool>, uint32_t> numbers_;
  std::unique_ptr<hs_database, FreeDatabase> database_;
  std::unique_ptr<Slot[]> slots_;  // what a scan needs; each is one thread's at a time
  size_t slot_count_ = 0;
  size_t memory_ = 0;
};

// The patterns of one packet, scanned for when first asked and remembered until forget(). Lives on
// the packet path: allocates nothing. It waits only where more threads scan at once than the
// processor has twice over.
class PatternScan {
 public:
  explicit PatternScan(const PatternSet& patterns) noexcept : patterns_(patterns) {}
  PatternScan(const PatternScan&) = delete;
  PatternScan& operator=(const PatternScan&) = delete;
  ~PatternScan() {
    if (slot_ != nullptr) release();
  }

  // Whether the payload, as far as it is here, has the pattern of that number; always false where
  // there is no payload. Requires number < patterns.size(), and the same packet until forget().
  bool finds(uint32_t number, const Packet& packet) noexcept;
  // The packet was changed: the next question scans anew.
  void forget() noexcept {
    if (slot_ != nullptr) release();
  }

 private:
  void scan(const Packet& packet) noexcept;
  void release() noexcept;

  const PatternSet& patterns_;
  PatternSet::Slot* slot_ = nullptr;  // null: not scanned
};

}  // namespace fettle
