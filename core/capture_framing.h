// Where the records of a capture begin and end, and what is in them: out of bytes in memory, in the
// order of the file. Reads no file; capture.h does.
//
// Sources: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace fettle {

struct Record {
  enum class Kind : uint8_t { kPcap, kBlock, kSimpleBlock };
  std::span<std::byte> raw;      // the whole record or block, to be written as it is
  std::span<std::byte> frame{};  // captured bytes inside raw; may be changed in place; may be none.
                                 // data() null: no packet (file header, another block of pcapng)
  uint32_t original = 0;         // length on the wire
  uint32_t link_type = 0;        // LINKTYPE_ of the record's interface
  uint64_t time_ns = 0;          // since 1970
  uint64_t units_per_second = 0;  // of the time stamp in `raw`
  Kind kind = Kind::kPcap;        // of packets: where their lengths stand
  bool swapped = false;           // numbers in the other byte order
};

class CaptureFraming {
 public:
  enum class Found : uint8_t {
    kRecord,
    kMore,    // the record goes on behind the bytes: wanted() is how many it takes to go on
    kDamage,  // no record can begin like this; damage() says what was found and expected
  };

  // Takes the format from the first bytes of a file. False: it is no capture. To be called once,
  // with kStart bytes, or what there is.
  bool start(std::span<const std::byte> bytes);
  static constexpr size_t kStart = 24;

  // The record that begins with bytes[0]; not empty. `last`: nothing comes behind the bytes, so
  // that a record which goes on there is damage.
  Found next(std::span<std::byte> bytes, bool last, Record* record);
  size_t wanted() const { return wanted_; }
  const std::string& damage() const { return damage_; }

 private:
  enum class Kind : uint8_t { kPcap, kPcapng };
  struct Interface {
    uint32_t link_type = 0;
    uint32_t snaplen = 0;
    uint64_t units_per_second = 1'000'000;
    int64_t offset_seconds = 0;
  };

  uint16_t u16(const std::byte* at) const;
  uint32_t u32(const std::byte* at) const;
  Found more(size_t wanted);
  Found damaged(std::string found_and_expected);
  Found next_pcap(std::span<std::byte> bytes, bool last, Record* record);
  Found next_block(std::span<std::byte> bytes, bool last, Record* record);
  bool start_section(const std::byte* block);
  bool read_interface(std::span<const std::byte> body);
  bool read_packet(uint32_t type, std::span<std::byte> body, Record* record) const;
  bool take_frame(const Interface& interface, std::span<std::byte> bytes, uint32_t captured,
                  uint64_t units, Record* record) const;

  Kind kind_ = Kind::kPcap;
  bool swapped_ = false;
  bool started_ = false;  // the pcap file header was found
  bool nanoseconds_ = false;
  uint32_t link_type_ = 0;
  std::vector<Interface> interfaces_;
  size_t wanted_ = 0;
  std::string damage_;
};

}  // namespace fettle
