#include "tests/live/packet_writer.h"

#include <algorithm>

#include "core/address.h"
#include "tests/packet_mend.h"

namespace fettle::testing {
namespace {

using namespace std::string_view_literals;

constexpr std::array<uint16_t, 10> kPorts{21, 53, 69, 80, 1069, 1331, 5060, 6000, 9999, 40000};
constexpr std::array<Text, kTexts> kAllTexts{
    {{5060,
      "INVITE sip:x@203.0.113.9 SIP/2.0\r\nVia: SIP/2.0/UDP 10.9.1.2:5062;branch=z9hG4bK1\r\n"
      "From: \"10.9.1.2\" <sip:a@10.9.1.2>;tag=1\r\nCall-ID: 1@10.9.1.2\r\nContent-Type: "
      "application/sdp\r\nContent-Length: 61\r\n\r\nv=0\r\no=a 1 1 IN IP4 "
      "10.9.1.2\r\ns=10.9.1.2\r\n"
      "c=IN IP4 10.9.1.2\r\n"},
     {5060, "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 198.51.100.1:5062\r\nl: 0\r\n\r\n"},
     {21,
      "220 ready\r\nUSER a\r\nPORT 10,9,1,2,4,1\r\n227 Entering (10,9,4,9,4,1)\r\n"
      "EPRT |1|10.9.1.2|1025|\r\nEPRT |2|fd00:9:1::7|1025|\r\n"},
     {80, "GET / HTTP/1.1\r\nHost: www.example.net:80\r\nUser-Agent: x\r\nAccept: */*\r\n\r\n"},
     {80,
      "HTTP/1.1 200 OK\r\nServer: a\r\nLocation: http://web.lan/x\r\nX-Powered-By: y\r\n"
      "Content-Length: 5\r\n\r\nhello"},
     {53,
      "\x12\x34\x81\x80\0\1\0\1\0\0\0\0\3www\0\0\1\0\1\xc0\x0c\0\1\0\1\0\0\0<\0\4\xc6"
      "3d\1"sv},
     {53,
      "\0\x25\x12\x34\x81\x80\0\1\0\1\0\0\0\0\3www\0\0\1\0\1\xc0\x0c\0\1\0\1\0\0\0<\0\4\xc6"
      "3d\1"sv},  // over TCP
     {1331, "KA\1\0\x0a\x14\4\7\0\0\0\0"sv},
     {9999, "KA 10.9.4.7:7777 n1 10.9.1.2,198.51.100.1"},
     {69,
      "\0\1boot\0octet\0tsize\0"
      "0\0"sv},
     {69, "\0\4\0\1"sv}}};

uint16_t port_of(Chance& chance) {
  return chance.one_in(8) ? static_cast<uint16_t>(chance.word()) : chance.of(kPorts);
}

}  // namespace

const Text& text_of(size_t number) { return kAllTexts[number]; }

void PacketWriter::put(std::span<const std::byte> bytes) {
  const auto size = std::min(bytes.size(), room_.size() - size_);
  std::copy_n(bytes.begin(), size, room_.begin() + size_);
  size_ += static_cast<uint32_t>(size);
}

void PacketWriter::put_random(uint32_t size) {
  size = std::min<uint32_t>(size, static_cast<uint32_t>(room_.size()) - size_);
  for (uint32_t i = 0; i < size; ++i) store_u8(data() + size_++, chance_.byte());
}

void PacketWriter::put_number(uint32_t value, uint32_t size) {
  std::array<std::byte, 4> bytes;
  store_be32(bytes.data(), value);
  put(std::span(bytes).last(size));
}

void PacketWriter::put_text(size_t text) { put(std::as_bytes(std::span(text_of(text).bytes))); }

void PacketWriter::put_ip(bool wide, size_t pair, uint8_t protocol) {
  const auto& names = (wide ? kPairs6 : kPairs4)[pair];
  const bool turned = chance_.one_in(2);
  if (wide) {
    put_number(0x60000000 | chance_.below(1 << 28), 4);
    put_number(uint32_t{protocol} << 8 | chance_.between(2, 255), 4);
  } else {
    put_number(0x45000000 | chance_.byte() << 16, 4);
    put_number(chance_.word() & 0xffff0000, 4);
    put_number(chance_.between(2, 255) << 24 | uint32_t{protocol} << 16, 4);
  }
  for (const char* name : {names[turned], names[!turned]}) {
    const auto address = Address::parse(name);
    put(std::span(address->bytes).first(wide ? 16 : 4));
  }
}

void PacketWriter::put_udp() {
  put_number(port_of(chance_), 2);
  put_number(port_of(chance_), 2);
  put_number(0, 4);
}

void PacketWriter::put_tcp(uint8_t flags, uint32_t words) {
  put_number(port_of(chance_), 2);
  put_number(port_of(chance_), 2);
  put_number(chance_.word(), 4);
  put_number(chance_.word(), 4);
  put_number(words << 28 | uint32_t{flags} << 16 | (chance_.word() & 0xffff), 4);
  put_number(0, 4);
}

void PacketWriter::put_options(std::span<const uint8_t> types, uint32_t size) {
  const uint32_t end = size_ + size;
  while (size_ < end) {
    const uint32_t type = chance_.one_in(4)
                              ? chance_.byte()
                              : types[chance_.below(static_cast<uint32_t>(types.size()))];
    put_number(type, 1);
    if (type < 2 && !chance_.one_in(4)) continue;
    const uint32_t length = chance_.one_in(2) ? chance_.of(kEdges) : chance_.between(2, 12);
    if (size_ < end) put_number(length, 1);
    put_random(std::min(length > 2 ? length - 2 : 0, end - size_));
  }
}

// Lengths that fit, and with `checksums` these, too.
void PacketWriter::seal(bool checksums) {
  mend_lengths(bytes());
  if (checksums) mend_checksums(parse(bytes()));
}

void PacketWriter::grow_to(uint32_t size) {
  while (size_ < size) put_text(chance_.below(kTexts));
  size_ = std::min(size_, size);
}

}  // namespace fettle::testing
