// What rules replace in TCP streams: the editor that a stream table asks about bytes it has not
// seen before.
#include <algorithm>
#include <bit>

#include "core/mangle.h"
#include "core/stream.h"
#include "core/stream_segment.h"
#include "rules/compiled.h"
#include "rules/text_message.h"

namespace fettle {
namespace {

// What a pattern may leave open at the end of what has come.
constexpr uint32_t kLongestOpen = 240;

// Of a packet: the rules of `rules` with their steps for streams. All look at the original stream;
// of two that would replace the same bytes, the first has them.
//
// Where a step of one of these rules needs messages whole, the steps of all look at one message
// after another, and none at what is no message: nothing could say how long it is. Of messages that
// cannot be withheld until they are whole, nothing is edited but by rules without such a step.
class RuleEditor final : public StreamEditor {
 public:
  RuleEditor(const Program::Compiled& compiled, uint64_t rules, bool* gave_up)
      : compiled_(compiled), rules_(rules), gave_up_(*gave_up), workspace_(workspaces()) {
    for (uint64_t left = rules_; left != 0 && framing_ == Framing::kNone; left &= left - 1) {
      framing_ = compiled_.rules[rule_of(left)].framing;
    }
  }

  Found edit(const StreamText& text, std::span<StreamEdit> edits) override {
    workspace_->list.clear();
    const Found found = framing_ == Framing::kNone ? edit_bytes(text) : edit_messages(text);
    const EditList& list = framing_ == Framing::kNone ? workspace_->list : workspace_->gathered;
    std::ranges::copy(list.edits(), edits.begin());
    return found;
  }

 private:
  const EditWorkspaces& workspaces() const { return compiled_.data.workspaces; }
  uint32_t rule_of(uint64_t bits) const {
    return compiled_.stream_rules[static_cast<size_t>(std::countr_zero(bits))];
  }

  Found edit_bytes(const StreamText& text) {
    EditList& list = workspace_->list;
    const uint32_t open = find_in({.bytes = text.bytes,
                                   .before = text.before,
                                   .begins = text.position == 0,
                                   .ends = text.last},
                                  text.packet.family);
    return found_in(list, static_cast<uint32_t>(text.bytes.size()), open);
  }

  // What cannot be withheld is decided as it is, with what was found in it.
  static Found found_in(EditList& list, uint32_t size, uint32_t open) {
    if (open > 0 && open <= kLongestOpen && !list.full()) {
      const uint32_t end = list.end_before(size - open);
      open = size - end;
      if (open <= kLongestOpen) list.cut(end);
    }
    return {.edits = static_cast<uint32_t>(list.edits().size()),
            .withhold = open <= kLongestOpen && !list.full() ? open : 0,
            .more = list.full()};
  }

  // By rules that need no message. Returns how many last bytes are open.
  uint32_t find_in(const EditText& text, Family family) {
    uint32_t open = 0;
    for (uint64_t left = rules_; left != 0; left &= left - 1) {
      const auto& mine = compiled_.rules[rule_of(left)];
      if (mine.framing != Framing::kNone) continue;
      for (const CompiledStep& step : steps_of(mine)) {
        if (!step.streamed) continue;
        bool gave_up = false;
        open =
            std::max(open, find_edits(step, compiled_.data, family, text, *workspace_, &gave_up));
        gave_up_ |= gave_up;
      }
    }
    return open;
  }

  std::span<const CompiledStep> steps_of(const Program::Compiled::RuleSteps& rule) const {
    return std::span(compiled_.steps).subspan(rule.first, rule.count);
  }

  // ---- Messages ----

  Found edit_messages(const StreamText& text) {
    EditList& all = workspace_->gathered;
    all.clear();
    const auto size = static_cast<uint32_t>(text.bytes.size());
    uint64_t at = text.frame;
    if (text.frame == stream::kNone) at = begins_message(framing_, text.bytes) ? 0 : kLost;
    uint32_t open = edit_between(text, 0, at);
    while (at < size) {
      const auto from = static_cast<uint32_t>(at);
      const auto rest = text.bytes.subspan(from);
      const MessageFrame frame = read_frame(framing_, rest);
      if (frame.state == MessageFrame::State::kWhole) {
        edit_message(rest.first(frame.size), from, text.packet.family);
        at += frame.size;
        continue;
      }
      const bool part = frame.state == MessageFrame::State::kPart;
      if (part && !text.last && frame.size <= stream::kMaxTail && rest.size() <= stream::kMaxTail) {
        return {.edits = static_cast<uint32_t>(all.edits().size()),
                .withhold = size - from,
                .more = all.full(),
                .frame = from};
      }
      // One of which nothing but the headers came in time may well have no more (HEAD).
      at = part && frame.size > 0 && (frame.begun || !text.last) ? at + frame.size : kLost;
      open = edit_between(text, from, at);
    }
    Found found = found_in(all, size, open);
    found.frame = at < kFar ? static_cast<uint32_t>(at) : 0;
    return found;
  }

  // All or nothing.
  void edit_message(std::span<const std::byte> message, uint32_t at, Family family) {
    EditList& list = workspace_->list;
    EditList& all = workspace_->gathered;
    if (all.full()) return;
    list.clear();
    for (uint64_t left = rules_; left != 0; left &= left - 1) {
      for (const CompiledStep& step : steps_of(compiled_.rules[rule_of(left)])) {
        if (!step.streamed) continue;
        if (!find_message_edits(step, compiled_.data, framing_, family, message, *workspace_)) {
          return;
        }
      }
    }
    if (!mend_message_length(framing_, message, list)) return;
    all.add_all(list, at);
  }

  // In the bytes from there on up to `end`, which are no message that came whole.
  uint32_t edit_between(const StreamText& text, uint32_t from, uint64_t end) {
    const auto to = static_cast<uint32_t>(std::min<uint64_t>(end, text.bytes.size()));
    if (from == to) return 0;
    workspace_->list.clear();
    const bool ends = text.last || to < text.bytes.size();
    const auto before = text.bytes.first(from);
    const uint32_t open =
        find_in({.bytes = text.bytes.subspan(from, to - from),
                 .before = from == 0 ? text.before : before.last(std::min(from, stream::kBefore)),
                 .begins = text.position == 0 && from == 0,
                 .ends = ends},
                text.packet.family);
    workspace_->gathered.add_all(workspace_->list, from);
    return ends ? 0 : open;
  }

  static constexpr uint64_t kLost = ~uint64_t{0};
  static constexpr uint64_t kFar = 1u << 30;  // sequence numbers tell no more apart than 2^31

  const Program::Compiled& compiled_;
  uint64_t rules_;
  bool& gave_up_;
  Framing framing_ = Framing::kNone;
  EditWorkspaces::Loan workspace_;
};

// That a rule may have wanted to edit.
bool carries_data(const Packet& packet) {
  if (packet.later_fragment) return true;
  if (packet.payload == 0 || packet.transport_end <= packet.payload) return false;
  return (load_u8(packet.data + packet.transport + 13) & stream::kSyn) == 0;
}

}  // namespace

StreamAction Program::edit_stream(StreamTable& table, Packet& packet, const Outcome& outcome,
                                  uint32_t now, StreamOutput& output) const noexcept {
  bool gave_up = false;
  RuleEditor editor(*compiled_, outcome.stream_rules, &gave_up);
  output.enter = outcome.stream_rules != 0;
  StreamAction action = table.process(packet, now, editor, output);
  if (action == StreamAction::kUntracked && (outcome.stream_rules & needs().must_change_streams) &&
      carries_data(packet)) {
    action = StreamAction::kDrop;
  }
  const bool in_place = action == StreamAction::kPass || action == StreamAction::kUntracked;
  if (in_place && packet.changed) finish(packet);
  return action;
}

}  // namespace fettle
