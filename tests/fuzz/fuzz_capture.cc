// Arbitrary bytes as a capture: what is handed out, put together, is the input, and the frame of a
// record lies inside of it.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "core/capture.h"
#include "core/link_layer.h"
#include "tests/fuzz/input.h"

namespace {

using fettle::CaptureReader;

using fettle::fuzz::check;

size_t read_all(CaptureReader& reader, const uint8_t* data, size_t size) {
  size_t at = 0;
  const auto take = [&](std::span<const std::byte> bytes) {
    check(bytes.size() <= size - at && std::memcmp(bytes.data(), data + at, bytes.size()) == 0);
    at += bytes.size();
  };
  fettle::CapturePiece piece;
  while (reader.read(&piece) && !piece.records.empty()) {
    for (const fettle::Record& record : piece.records) {
      take(record.raw);
      if (record.frame.empty()) continue;
      check(record.frame.data() >= record.raw.data() &&
            record.frame.data() + record.frame.size() <= record.raw.data() + record.raw.size());
      const auto network = fettle::network_layer(record.link_type, record.frame);
      if (!network) continue;
      check(!network->empty() &&
            network->data() + network->size() == record.frame.data() + record.frame.size());
    }
    check(piece.end == at);
  }
  return at;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const int fd = memfd_create("capture", MFD_CLOEXEC);
  check(fd >= 0 && write(fd, data, size) == static_cast<ssize_t>(size));
  auto reader = CaptureReader::open("/proc/self/fd/" + std::to_string(fd));
  if (reader) check(read_all(*reader, data, size) == size);
  close(fd);
  return 0;
}
