// Steps that search a payload for what they change.
#include <algorithm>

#include "core/resize.h"
#include "rules/steps.h"

namespace fettle {
namespace {

// The one at a place.
uint32_t find_written(const CompiledStep& step, const StepData& data, const EditText& text,
                      EditList& list) {
  if (step.at >= text.bytes.size()) return 0;
  const auto found = read_address(text.bytes.subspan(step.at), step.form);
  if (!found) return 0;
  const auto translated = data.tables[step.first].find(found->address);
  if (!translated) return 0;
  AddressText written;
  const uint32_t size = write_address(*translated, step.form, &written);
  list.add(step.at, found->size, std::as_bytes(std::span(written).first(size)));
  return 0;
}

// IPv4's limit; IPv6 packets beyond it are jumbograms, or nearly so, and are let be.
constexpr size_t kLongest = 65535;

}  // namespace

bool searches(const CompiledStep& step) noexcept {
  return step.kind == StepKind::kReplace || (step.kind == StepKind::kTranslate &&
                                             (step.anywhere || step.form != AddressForm::kBinary));
}

uint32_t find_edits(const CompiledStep& step, const StepData& data, Family family,
                    const EditText& text, EditWorkspace& workspace, bool* gave_up) noexcept {
  if (step.kind == StepKind::kReplace) {
    return data.replacements[step.first].find(text, workspace, gave_up);
  }
  EditList& list = workspace.list;
  if (!step.anywhere) return find_written(step, data, text, list);
  const AddressTable& table = data.tables[step.first];
  switch (step.form) {
    case AddressForm::kText:
      return find_text(table, text, list);
    case AddressForm::kComma:
      return find_comma(table, text, list);
    case AddressForm::kBinary:
      break;
  }
  if (step.family != Family::kNone) family = step.family;
  const auto& beginnings = data.beginnings[step.number][family == Family::kIpv4 ? 0 : 1];
  return find_binary(table, beginnings, family, text, list);
}

// From back to front, so that places in front stay what they are. All or none: an edit that makes
// the packet longer has its room even before the others have made it shorter.
Edit make_edits(std::span<const StreamEdit> edits, Packet& packet) noexcept {
  if (edits.empty()) return Edit::kMiss;
  size_t most = packet.size;
  bool equal = true;
  for (const StreamEdit& edit : edits) {
    equal &= edit.with.size() == edit.length;
    if (edit.with.size() > edit.length) most += edit.with.size() - edit.length;
  }
  if (!equal &&
      (may_resize(packet) != Resize::kDone || most > std::min<size_t>(packet.capacity, kLongest))) {
    return Edit::kMiss;
  }
  for (size_t i = edits.size(); i-- > 0;) {
    const StreamEdit& edit = edits[i];
    const Resize done = replace(packet, packet.payload + edit.offset, edit.length, edit.with);
    if (done != Resize::kDone) return Edit::kMiss;
  }
  return Edit::kDone;
}

Edit search_payload(const CompiledStep& step, const StepData& data, Packet& packet) noexcept {
  uint32_t offset = 0;
  if (!resolve(packet, Origin::kPayload, 0, &offset)) return Edit::kMiss;
  const uint32_t end = std::min(packet.size, packet.transport_end);
  const EditWorkspaces::Loan workspace(data.workspaces);
  workspace->list.clear();
  bool gave_up = false;
  const EditText text{.bytes = {packet.data + offset, end - offset}, .before = {}};
  find_edits(step, data, packet.family, text, *workspace, &gave_up);
  if (gave_up || workspace->list.full()) return Edit::kMiss;
  return make_edits(workspace->list.edits(), packet);
}

}  // namespace fettle
