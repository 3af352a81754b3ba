#include "rules/edit_text.h"

#include <algorithm>
#include <atomic>
#include <thread>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace fettle {
namespace {

// What a hostile text may make a pattern cost, in PCRE2's own unit: some milliseconds at the worst.
constexpr uint32_t kMatchLimit = 20'000;
constexpr size_t kFirstStack = 32 << 10, kLargestStack = 256 << 10;
constexpr uint32_t kMostGroups = 100;  // $0 to $99

}  // namespace

bool EditList::add(uint32_t offset, uint32_t length, std::span<const std::byte> with) noexcept {
  if (count_ == kMost || bytes_.size() - used_ < with.size()) {
    full_ = true;
    return false;
  }
  uint32_t place = count_;
  while (place > 0 && edits_[place - 1].offset >= offset + length) --place;
  if (place > 0 && edits_[place - 1].offset + edits_[place - 1].length > offset) return false;
  std::copy_backward(edits_.begin() + place, edits_.begin() + count_, edits_.begin() + count_ + 1);
  std::ranges::copy(with, bytes_.begin() + used_);
  edits_[place] = {.offset = offset,
                   .length = length,
                   .with = std::span<const std::byte>(bytes_).subspan(used_, with.size())};
  used_ += static_cast<uint32_t>(with.size());
  ++count_;
  return true;
}

uint32_t EditList::end_before(uint32_t end) const noexcept {
  for (uint32_t i = count_; i-- > 0;) {
    if (edits_[i].offset + edits_[i].length <= end) break;
    end = std::min(end, edits_[i].offset);
  }
  return end;
}

void EditList::cut(uint32_t end) noexcept {
  while (count_ > 0 && edits_[count_ - 1].offset + edits_[count_ - 1].length > end) --count_;
}

bool EditList::add_all(const EditList& others, uint32_t base) noexcept {
  const uint32_t count = count_, used = used_;
  for (const StreamEdit& edit : others.edits()) {
    if (add(base + edit.offset, edit.length, edit.with)) continue;
    count_ = count;
    used_ = used;
    return false;
  }
  return true;
}

EditWorkspace::EditWorkspace()
    : match(pcre2_match_data_create(kMostGroups, nullptr)),
      context(pcre2_match_context_create(nullptr)),
      stack(pcre2_jit_stack_create(kFirstStack, kLargestStack, nullptr)) {
  if (context == nullptr) return;
  pcre2_set_match_limit(context, kMatchLimit);
  pcre2_jit_stack_assign(context, nullptr, stack);
}

EditWorkspace::~EditWorkspace() {
  pcre2_jit_stack_free(stack);
  pcre2_match_context_free(context);
  pcre2_match_data_free(match);
}

struct alignas(64) EditWorkspaces::Loan::Slot {
  std::atomic<bool> taken = false;
  EditWorkspace workspace;
};

EditWorkspaces::EditWorkspaces() = default;
EditWorkspaces::EditWorkspaces(EditWorkspaces&&) noexcept = default;
EditWorkspaces& EditWorkspaces::operator=(EditWorkspaces&&) noexcept = default;
EditWorkspaces::~EditWorkspaces() = default;

bool EditWorkspaces::make() {
  count_ = std::max(2u, std::thread::hardware_concurrency());
  slots_ = std::make_unique<Loan::Slot[]>(count_);
  return std::all_of(slots_.get(), slots_.get() + count_,
                     [](const Loan::Slot& slot) { return slot.workspace.usable(); });
}

EditWorkspaces::Loan::Loan(const EditWorkspaces& workspaces) noexcept
    : slot_([&]() -> Slot& {
        static thread_local size_t last = 0;
        for (size_t at = last % workspaces.count_;; at = (at + 1) % workspaces.count_) {
          if (workspaces.slots_[at].taken.exchange(true, std::memory_order_acquire)) continue;
          last = at;
          return workspaces.slots_[at];
        }
      }()) {}

EditWorkspaces::Loan::~Loan() { slot_.taken.store(false, std::memory_order_release); }
EditWorkspace& EditWorkspaces::Loan::operator*() const noexcept { return slot_.workspace; }

}  // namespace fettle
