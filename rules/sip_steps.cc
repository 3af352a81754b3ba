// The steps `sip` and `sdp`.
#include <algorithm>

#include "rules/sip_message.h"
#include "rules/steps.h"
#include "rules/text_message.h"

namespace fettle {

Edit translate_sip_message(const CompiledStep& step, const StepData& data,
                           Packet& packet) noexcept {
  uint32_t offset = 0;
  if (!packet.is(Protocol::kUdp) || packet.fragment || packet.truncated()) return Edit::kMiss;
  if (!resolve(packet, Origin::kPayload, 0, &offset)) return Edit::kMiss;
  const uint32_t size = std::min(packet.size, packet.transport_end) - offset;
  const std::span<const std::byte> message(packet.data + offset, size);
  const bool sip = step.kind == StepKind::kSip;
  if (!(sip ? is_sip_message(message) : has_whole_head(message))) return Edit::kMiss;
  const AddressTable& table = data.tables[step.first];
  const EditWorkspaces::Loan workspace(data.workspaces);
  EditList& list = workspace->list;
  list.clear();
  if (sip) {
    find_sip(table, message, list);
  } else {
    find_sdp(table, message, list);
  }
  if (list.full()) return Edit::kMiss;
  if (list.edits().empty()) return Edit::kDone;
  return mend_content_length(message, list) ? make_edits(list.edits(), packet) : Edit::kMiss;
}

}  // namespace fettle
