// Steps as the packet path runs them: one small trivially copyable record each, with what varies in
// length in arrays beside.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/mangle.h"
#include "core/packet.h"
#include "rules/address_search.h"
#include "rules/address_table.h"
#include "rules/edit_text.h"
#include "rules/impairment.h"
#include "rules/message_frame.h"
#include "rules/replacement.h"
#include "rules/rule.h"
#include "rules/vocabulary.h"

namespace fettle {

struct CompiledStep {
  StepKind kind{};
  Verdict verdict = Verdict::kAccept;       // verdict steps
  Field field{};                            // kSet: one record an assignment
  bool more = false;                        // kSet: the next record belongs to the same step
  bool anywhere = false;                    // kTranslate
  bool streamed = false;                    // of a TCP packet, done to its stream
  AddressForm form = AddressForm::kBinary;  // kTranslate
  Origin from = Origin::kPayload;           // kTranslate, kWrite
  Family family = Family::kNone;            // kTranslate: the table's only one; kNone: the packet's
  uint16_t queue = 0;
  uint32_t at = 0;
  uint32_t number = 0;  // kSet, kMark: the value; kClampMss: the MSS; kReplace: the pattern's, in
                        // the set's; kTranslate anywhere in binary: of StepData::beginnings;
                        // kStrip: what; kLengthField: the unit
  uint32_t mask = 0;    // kMark; kLengthField: not 0 where little-endian
  uint32_t first = 0;   // of what is meant: kSet an address, kTranslate, kDns, kSip and kSdp a
                        // table, kWrite and kInsert bytes, kReplace a replacement, kDelay and the
                        // like an impairment, kCapture a file
  uint32_t count = 0;   // kWrite, kInsert, kDelete, kStrip, kLengthField
};

// What the records refer to.
struct StepData {
  std::vector<std::byte> bytes;
  std::vector<AddressTable> tables;
  std::vector<Address> addresses;
  std::vector<Replacement> replacements;
  std::vector<std::array<AddressBeginnings, 2>> beginnings;  // IPv4's, IPv6's
  EditWorkspaces workspaces;                                 // made where a step needs them
  std::vector<Impairment> impairments;
};

// One assignment of a set step.
Edit set_field(const CompiledStep& step, const StepData& data, Packet& packet) noexcept;
// Asks the processor for the table's memory that translate() will read, where it is large.
void prefetch_translation(const CompiledStep& step, const StepData& data,
                          const Packet& packet) noexcept;
// kMiss where the packet has no such place whole, or the table no such address.
Edit translate(const CompiledStep& step, const StepData& data, Packet& packet) noexcept;
Edit write_bytes(const CompiledStep& step, const StepData& data, Packet& packet) noexcept;

// kMiss where core/resize.h refuses it.
Edit insert_bytes(const CompiledStep& step, const StepData& data, Packet& packet) noexcept;
Edit delete_bytes(const CompiledStep& step, Packet& packet) noexcept;

// Steps that find by themselves what they change: replace, and translate but for an address in
// binary at a place.
bool searches(const CompiledStep& step) noexcept;
// Adds what the step replaces in a text to the workspace's list; see Replacement::find().
uint32_t find_edits(const CompiledStep& step, const StepData& data, Family family,
                    const EditText& text, EditWorkspace& workspace, bool* gave_up) noexcept;
// Steps for whole messages.
Framing framing_of(const CompiledStep& step) noexcept;
// The same as find_edits() for a whole message as its framing has it. False: the step cannot be
// done to it.
bool find_message_edits(const CompiledStep& step, const StepData& data, Framing framing,
                        Family family, std::span<const std::byte> message,
                        EditWorkspace& workspace) noexcept;
// When all steps have added theirs: adds what makes the message say how long it is then. False:
// that cannot be said, or not be told.
bool mend_message_length(Framing framing, std::span<const std::byte> message,
                         EditList& list) noexcept;
// Does it to a packet's payload. kMiss where there is nothing to replace, or core/resize.h refuses.
Edit search_payload(const CompiledStep& step, const StepData& data, Packet& packet) noexcept;
// Makes edits of a payload, offsets from its beginning: all or none. kMiss where there is none, or
// core/resize.h refuses.
Edit make_edits(std::span<const StreamEdit> edits, Packet& packet) noexcept;
// Flips one bit of the transport payload, so that its checksum is wrong, where the packet is one
// that the step concerns. kMiss: it has no payload, or its checksum is left to others, who would
// make it right.
Edit corrupt(const Impairment& step, Packet& packet, ImpairmentState& state) noexcept;
// kMiss where there is nothing to strip, core/strip.h or core/resize.h refuses it, or the kernel
// would still write into the options.
Edit strip(const CompiledStep& step, Packet& packet, Hook hook) noexcept;

// `growth`: bytes by which the payload is longer than before the rule's first step. kMiss: no such
// place, or the field cannot hold the sum.
Edit mend_length_field(const CompiledStep& step, Packet& packet, int64_t growth) noexcept;
// kMiss: text_message.h finds no length, or core/resize.h refuses it.
Edit mend_content_length(Packet& packet) noexcept;

// kMiss: no UDP, or dns_message.h or core/resize.h refuses it.
Edit translate_dns_message(const CompiledStep& step, const StepData& data, Packet& packet) noexcept;
// kMiss: no UDP, no message as sip_message.h has it, text_message.h cannot mend its length, more
// edits than an EditList holds, or core/resize.h refuses them.
Edit translate_sip_message(const CompiledStep& step, const StepData& data, Packet& packet) noexcept;

// Like resolve(), for `size` > 0 bytes: all of them lie before the end of what the origin names.
bool resolve_all(const Packet& packet, Origin from, uint32_t at, uint32_t size,
                 uint32_t* offset) noexcept;

}  // namespace fettle
