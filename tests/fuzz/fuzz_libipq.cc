// Arbitrary bytes for a message of the kernel's: what a program on libipq gets of it lies in the
// bytes, and fits.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "deploy/libipq/libipq.h"
#include "deploy/libipq/old_message.h"
#include "deploy/libipq/queue_message.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // On the heap and exactly as long, so that the sanitizer sees one byte too many.
  const std::unique_ptr<std::byte[]> copy(new std::byte[size]);
  if (size > 0) std::memcpy(copy.get(), data, size);
  const libipq::KernelMessage message = libipq::read_message({copy.get(), size});
  if (message.kind == libipq::KernelMessage::Kind::kAnswer &&
      (message.error < 0 || message.error > 4095))
    std::abort();
  if (message.kind != libipq::KernelMessage::Kind::kPacket) return 0;
  const auto payload = message.packet.payload;
  if (!payload.empty() &&
      (payload.data() < copy.get() || payload.data() + payload.size() > copy.get() + size))
    std::abort();
  // A buffer that fits, and one that does not.
  const size_t room = NLMSG_LENGTH(sizeof(ipq_packet_msg_t)) + payload.size();
  const std::unique_ptr<unsigned char[]> buffer(new unsigned char[room]);
  const libipq::Device none;
  if (libipq::write_packet(message.packet, none, none, 0, {buffer.get(), room - 1}) != room)
    std::abort();
  if (libipq::write_packet(message.packet, none, none, 0, {buffer.get(), room}) != room)
    std::abort();
  const ipq_packet_msg_t* const packet = ipq_get_packet(buffer.get());
  if (packet == nullptr || packet->data_len != payload.size() ||
      packet->hw_addrlen > sizeof(packet->hw_addr))
    std::abort();
  if (packet->data_len > 0 && std::memcmp(packet->payload, payload.data(), payload.size()) != 0)
    std::abort();
  return 0;
}
