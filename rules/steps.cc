#include "rules/steps.h"

namespace fettle {
namespace {

// `offset` counts from packet.data. What an ICMP error quotes starts at its payload.
Edit write_at(Packet& packet, Origin from, uint32_t offset, std::span<const std::byte> bytes) {
  if (from != Origin::kQuotedNetwork && from != Origin::kQuotedTransport) {
    return write(packet, offset, bytes);
  }
  return write_quoted(packet, offset - packet.payload, bytes);
}

// The place and family of the address that a translate step looks at.
bool find_address(const CompiledStep& step, const Packet& packet, Family* family,
                  uint32_t* offset) {
  *family = step.family == Family::kNone ? packet.family : step.family;
  return resolve_all(packet, step.from, step.at, *family == Family::kIpv4 ? 4 : 16, offset);
}

}  // namespace

bool resolve_all(const Packet& packet, Origin from, uint32_t at, uint32_t size,
                 uint32_t* offset) noexcept {
  uint32_t last = 0;
  if (!resolve(packet, from, at + size - 1, &last)) return false;
  *offset = last - (size - 1);
  return true;
}

Edit set_field(const CompiledStep& step, const StepData& data, Packet& packet) noexcept {
  switch (step.field) {
    case Field::kTtl:
      return set_ttl(packet, static_cast<uint8_t>(step.number));
    case Field::kDscp:
      return set_dscp(packet, static_cast<uint8_t>(step.number));
    case Field::kEcn:
      return set_ecn(packet, static_cast<uint8_t>(step.number));
    case Field::kSrc:
      return set_src(packet, data.addresses[step.first]);
    case Field::kDst:
      return set_dst(packet, data.addresses[step.first]);
    case Field::kSrcPort:
      return set_src_port(packet, static_cast<uint16_t>(step.number));
    case Field::kDstPort:
      return set_dst_port(packet, static_cast<uint16_t>(step.number));
    case Field::kWindow:
      return set_tcp_window(packet, static_cast<uint16_t>(step.number));
    case Field::kFlowLabel:
      return set_flow_label(packet, step.number);
  }
  return Edit::kMiss;
}

void prefetch_translation(const CompiledStep& step, const StepData& data,
                          const Packet& packet) noexcept {
  const AddressTable& table = data.tables[step.first];
  if (!table.is_large()) return;
  Family family{};
  uint32_t offset = 0;
  if (!find_address(step, packet, &family, &offset)) return;
  table.prefetch(Address::from_bytes(family, packet.data + offset));
}

Edit translate(const CompiledStep& step, const StepData& data, Packet& packet) noexcept {
  Family family{};
  uint32_t offset = 0;
  if (!find_address(step, packet, &family, &offset)) return Edit::kMiss;
  const auto translated =
      data.tables[step.first].find(Address::from_bytes(family, packet.data + offset));
  if (!translated) return Edit::kMiss;
  return write_at(packet, step.from, offset, translated->span());
}

Edit write_bytes(const CompiledStep& step, const StepData& data, Packet& packet) noexcept {
  uint32_t offset = 0;
  if (!resolve_all(packet, step.from, step.at, step.count, &offset)) return Edit::kMiss;
  return write_at(packet, step.from, offset, {data.bytes.data() + step.first, step.count});
}

}  // namespace fettle
