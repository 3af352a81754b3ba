// Finding what steps replace in a text: a datagram's payload, or what a TCP stream brings. Bytes
// in, a list of replacements out; who called makes them (text_steps.h, stream_rules.h).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "core/stream.h"

struct pcre2_real_jit_stack_8;
struct pcre2_real_match_context_8;
struct pcre2_real_match_data_8;

namespace fettle {

struct EditText {
  std::span<const std::byte> bytes;
  std::span<const std::byte> before;  // what stands before bytes[0], as far as it is known
  bool begins = true;                 // bytes[0] is the first there is
  bool ends = true;                   // no more will follow; else a last part may be undecided
};

// Replacements in rising order, none of which overlaps another. Allocates when it is made only.
class EditList {
 public:
  static constexpr uint32_t kMost = stream::kMaxEdits - 1;

  void clear() noexcept {
    count_ = used_ = 0;
    full_ = false;
  }
  // A copy of `with` is kept. False: it would overlap an edit that is there already, or there is no
  // room for it, which full() says from then on.
  bool add(uint32_t offset, uint32_t length, std::span<const std::byte> with) noexcept;
  // `end`, or where the first of those edits begins that reach beyond it, one into the other.
  uint32_t end_before(uint32_t end) const noexcept;
  // Takes away those that end behind `end`.
  void cut(uint32_t end) noexcept;
  // Adds all of another list's, whose offsets count from `base` here, or none: false, as add().
  bool add_all(const EditList& others, uint32_t base) noexcept;

  std::span<const StreamEdit> edits() const noexcept { return {edits_.data(), count_}; }
  bool full() const noexcept { return full_; }

 private:
  std::array<StreamEdit, kMost> edits_;
  uint32_t count_ = 0;
  uint32_t used_ = 0;
  bool full_ = false;
  std::array<std::byte, 1u << 16> bytes_;
};

// What a thread needs to look for replacements, PCRE2's memory included.
class EditWorkspace {
 public:
  static constexpr size_t kLongestText = 65535 + stream::kMaxTail + stream::kBefore;

  EditWorkspace();
  ~EditWorkspace();
  EditWorkspace(const EditWorkspace&) = delete;
  EditWorkspace& operator=(const EditWorkspace&) = delete;
  bool usable() const noexcept { return match != nullptr && context != nullptr; }

  EditList list;
  EditList gathered;  // of a stream's messages, each of whose edits are made in `list`
  std::array<std::byte, kLongestText> text;
  std::array<std::byte, stream::kMaxReplacement> replacement;
  pcre2_real_match_data_8* match = nullptr;
  pcre2_real_match_context_8* context = nullptr;
  pcre2_real_jit_stack_8* stack = nullptr;
};

// Workspaces for as many threads as may ask at a time; a thread finds the one that it had before.
class EditWorkspaces {
 public:
  EditWorkspaces();
  EditWorkspaces(EditWorkspaces&&) noexcept;
  EditWorkspaces& operator=(EditWorkspaces&&) noexcept;
  ~EditWorkspaces();

  // False: no memory. Until then there are none, and nothing may be taken.
  bool make();
  bool made() const noexcept { return slots_ != nullptr; }

  class Loan {
   public:
    explicit Loan(const EditWorkspaces& workspaces) noexcept;
    ~Loan();
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
    EditWorkspace& operator*() const noexcept;
    EditWorkspace* operator->() const noexcept { return &**this; }

   private:
    struct Slot;
    friend class EditWorkspaces;
    Slot& slot_;
  };

 private:
  std::unique_ptr<Loan::Slot[]> slots_;
  size_t count_ = 0;
};

}  // namespace fettle
