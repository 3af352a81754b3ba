// Arbitrary datagrams through the netlink decoder: it ends, and hands out nothing beyond the bytes.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "core/nfqueue_codec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // On the heap and exactly as long, so that the sanitizer sees one byte too many.
  const std::unique_ptr<std::byte[]> copy(new std::byte[size]);
  if (size > 0) std::memcpy(copy.get(), data, size);
  const std::byte* const end = copy.get() + size;
  std::span<std::byte> datagram(copy.get(), size);
  while (!datagram.empty()) {
    const size_t before = datagram.size();
    const fettle::Message message = fettle::decode(datagram);
    if (datagram.size() >= before) std::abort();
    const auto payload = message.packet.payload;
    if (payload.empty()) continue;
    if (payload.data() < copy.get() || payload.data() + payload.size() > end) std::abort();
    payload.front() = payload.back();
  }
  return 0;
}
