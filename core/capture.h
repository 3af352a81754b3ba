// Captures: pcap (microseconds and nanoseconds, both byte orders) and pcapng (both byte orders, any
// number of interfaces), told apart by the magic number. The reader hands out records whose bytes,
// headers included, can be passed on as they are, so that a replay without effect is the identity:
// time stamps, comments and unknown blocks survive. No dependency on libpcap, which keeps none of
// them.
//
// Sources: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/result.h"

namespace fettle {

struct Record {
  std::span<std::byte> raw;    // the whole record or block, to be written as it is
  std::span<std::byte> frame;  // captured bytes inside raw; may be changed in place, may be none.
                               // data() null: no packet (file header, another block of pcapng)
  uint32_t original = 0;       // length on the wire
  uint32_t link_type = 0;      // LINKTYPE_ of the record's interface
  uint64_t time_ns = 0;        // since 1970
};

// Reads a file, or standard input for "-", in one pass with bounded memory.
class CaptureReader {
 public:
  static Result<CaptureReader> open(const std::string& path);
  CaptureReader(CaptureReader&&) noexcept;
  CaptureReader& operator=(CaptureReader&&) noexcept;
  ~CaptureReader();

  // Called before the reader moves or fills its buffer: all that was handed out since the last call
  // lies there still, records one behind the other, and is gone thereafter. Where the input is a
  // pipe, the reader may wait after the call. An error ends next() with it.
  void before_read(std::function<Result<void>()> call);

  // The next record, valid until the next call; nothing at the end. An error names the byte
  // offset, what was found there and what was expected; remainder() then has the bytes
  // that could not be read as records, piece by piece until it is empty, so that nothing is lost.
  Result<std::optional<Record>> next();
  Result<std::span<const std::byte>> remainder();

  std::optional<uint64_t> size() const;  // of the file, where it is one
  uint64_t position() const;             // bytes handed out so far

 private:
  struct State;
  explicit CaptureReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Writes records one after another, buffered; "-" is standard output. The file is complete only
// after close() has said so.
class CaptureWriter {
 public:
  static Result<CaptureWriter> open(const std::string& path);
  CaptureWriter(CaptureWriter&&) noexcept;
  CaptureWriter& operator=(CaptureWriter&&) noexcept;
  ~CaptureWriter();
  Result<void> append(std::span<const std::byte> bytes);
  Result<void> flush();  // what is buffered goes out now
  Result<void> close();

 private:
  struct State;
  explicit CaptureWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace fettle
