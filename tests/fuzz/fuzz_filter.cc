// An arbitrary pcap-filter expression over an arbitrary packet: it is refused with a message, or
// run within the packet; and what lies behind its depth makes no difference.
//
// Input: the expression's length, the expression, the packet.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "rules/packet_filter.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fettle;
  constexpr size_t kLongest = 96;  // longer ones only take longer
  if (size < 2) return 0;
  const size_t length = std::min<size_t>(data[0] % kLongest + 1, size - 1);
  const std::string expression(reinterpret_cast<const char*>(data) + 1, length);
  if (expression.find('\0') != std::string::npos) return 0;  // the parser refuses these
  std::string why;
  const auto program = compile_filter(expression, &why);
  if (!program) {
    if (why.empty()) std::abort();
    return 0;
  }
  std::vector<uint32_t> words(program->size() * kInstructionWords);
  std::copy_n(reinterpret_cast<const std::byte*>(program->data()), words.size() * sizeof(uint32_t),
              reinterpret_cast<std::byte*>(words.data()));
  // Exactly as large as the packet, so that a sanitizer sees the first byte beyond.
  const size_t packet_size = size - 1 - length;
  const std::unique_ptr<std::byte[]> bytes(new std::byte[packet_size]);
  std::copy_n(reinterpret_cast<const std::byte*>(data) + 1 + length, packet_size, bytes.get());
  Packet packet;
  packet.data = bytes.get();
  packet.size = packet.length = static_cast<uint32_t>(packet_size);
  const bool passes = passes_filter(words.data(), packet);
  const auto depth = filter_depth(*program);
  // A header longer than IPv4's would have X beyond what is reckoned with.
  if (!depth || *depth >= packet.size) return 0;
  packet.size = *depth;
  if (passes_filter(words.data(), packet) != passes) std::abort();
  return 0;
}
