// An arbitrary pattern over arbitrary bytes: it is refused with a message, or scanned for, and says
// the same about the same payload twice, whatever was scanned in between.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "rules/pattern_set.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fettle;
  constexpr size_t kLongest = 48;  // longer ones only take longer
  if (size < 2) return 0;
  const size_t length = std::min<size_t>({data[1] % kLongest + 1, size - 2});
  PatternMatch pattern{.pattern = {reinterpret_cast<const char*>(data) + 2, length},
                       .ignore_case = (data[0] & 1) != 0,
                       .where = {}};
  // The parser refuses these.
  if (length == 0 || pattern.pattern.find('\0') != std::string::npos) return 0;
  std::vector<Diagnostic> diagnostics;
  const auto set = PatternSet::build({&pattern}, &diagnostics);
  if (!set) {
    if (diagnostics.empty() || diagnostics[0].message.empty()) std::abort();
    return 0;
  }
  // Exactly as large as the packet, so that a sanitizer sees the first byte beyond.
  const size_t payload = size - 2 - length;
  const std::unique_ptr<std::byte[]> bytes(new std::byte[payload + 1]);
  std::copy_n(reinterpret_cast<const std::byte*>(data) + 2 + length, payload, bytes.get());
  Packet packet;
  packet.data = bytes.get();
  packet.stop = ParseStop::kUnknownTransport;
  packet.size = packet.length = packet.transport_end = static_cast<uint32_t>(payload);
  packet.transport = packet.payload = std::min<uint32_t>(1, packet.size);
  PatternScan scan(*set);
  const bool found = scan.finds(0, packet);
  scan.forget();
  Packet none = packet;
  none.transport = 0;
  if (scan.finds(0, none)) std::abort();
  if (scan.finds(0, packet) != found) std::abort();
  return 0;
}
