// What rules replace in TCP streams: the editor that a stream table asks about bytes it has not
// seen before.
#include <algorithm>
#include <bit>

#include "core/mangle.h"
#include "core/stream.h"
#include "rules/compiled.h"

namespace fettle {
namespace {

// Of a packet: the rules of `rules` with their steps for streams. All look at the original stream;
// of two that would replace the same bytes, the first has them.
class RuleEditor final : public StreamEditor {
 public:
  RuleEditor(const Program::Compiled& compiled, uint64_t rules, bool* gave_up)
      : compiled_(compiled), rules_(rules), gave_up_(*gave_up), workspace_(workspaces()) {}

  Found edit(const StreamText& text, std::span<StreamEdit> edits) override {
    EditList& list = workspace_->list;
    list.clear();
    uint32_t open = 0;
    const EditText bytes{.bytes = text.bytes,
                         .before = text.before,
                         .begins = text.position == 0,
                         .ends = text.last};
    for (uint64_t left = rules_; left != 0; left &= left - 1) {
      const uint32_t rule = compiled_.stream_rules[static_cast<size_t>(std::countr_zero(left))];
      open = std::max(open, find(rule, bytes, text.packet.family));
    }
    const auto size = static_cast<uint32_t>(text.bytes.size());
    // What cannot be withheld is decided as it is, with what was found in it.
    if (open > 0 && open <= stream::kMaxTail && !list.full()) {
      const uint32_t end = list.end_before(size - open);
      open = size - end;
      if (open <= stream::kMaxTail) list.cut(end);
    }
    std::ranges::copy(list.edits(), edits.begin());
    return {.edits = static_cast<uint32_t>(list.edits().size()),
            .withhold = open <= stream::kMaxTail && !list.full() ? open : 0,
            .more = list.full()};
  }

 private:
  const EditWorkspaces& workspaces() const { return compiled_.data.workspaces; }

  uint32_t find(uint32_t rule, const EditText& text, Family family) {
    const auto& steps = compiled_.rules[rule];
    uint32_t open = 0;
    for (uint32_t i = 0; i < steps.count; ++i) {
      const CompiledStep& step = compiled_.steps[steps.first + i];
      if (!step.streamed) continue;
      bool gave_up = false;
      open = std::max(open, find_edits(step, compiled_.data, family, text, *workspace_, &gave_up));
      gave_up_ |= gave_up;
    }
    return open;
  }

  const Program::Compiled& compiled_;
  uint64_t rules_;
  bool& gave_up_;
  EditWorkspaces::Loan workspace_;
};

}  // namespace

StreamAction Program::edit_stream(StreamTable& table, Packet& packet, const Outcome& outcome,
                                  uint32_t now, StreamOutput& output) const noexcept {
  bool gave_up = false;
  RuleEditor editor(*compiled_, outcome.stream_rules, &gave_up);
  output.enter = outcome.stream_rules != 0;
  const StreamAction action = table.process(packet, now, editor, output);
  const bool in_place = action == StreamAction::kPass || action == StreamAction::kUntracked;
  if (in_place && packet.changed) finish(packet);
  return action;
}

}  // namespace fettle
