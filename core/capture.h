// Captures: pcap (microseconds and nanoseconds, both byte orders) and pcapng (both byte orders, any
// number of interfaces), told apart by the magic number. The reader hands out records whose bytes,
// headers included, can be passed on as they are, so that a replay without effect is the identity:
// time stamps, comments and unknown blocks survive. No dependency on libpcap, which keeps none of
// them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/capture_framing.h"
#include "core/result.h"

namespace fettle {

// Records that lie one behind the other in a buffer of the piece's own.
class CapturePiece {
 public:
  std::vector<Record> records;  // none: the end of the input
  uint64_t end = 0;             // bytes of the input up to the end of the last record

 private:
  friend class CaptureReader;
  std::unique_ptr<std::byte[]> buffer_;
  size_t capacity_ = 0;
};

// Reads a file, or standard input for "-", in one pass with bounded memory.
class CaptureReader {
 public:
  static Result<CaptureReader> open(const std::string& path);
  CaptureReader(CaptureReader&&) noexcept;
  CaptureReader& operator=(CaptureReader&&) noexcept;
  ~CaptureReader();

  // Fills a piece, whose former records are gone then, with the next ones: those that one read
  // brings, so that what a pipe brought waits for nothing; else as many as make a piece of kPiece
  // bytes, or one that is longer. Another piece's records stay as they are, whatever becomes of
  // them meanwhile.
  Result<void> read(CapturePiece* piece);
  static constexpr size_t kPiece = 256 << 10;

  // Names the byte offset, what was found there and what was expected. From there on the input is
  // handed out to its end as records that are no packets, so that nothing is lost.
  const std::optional<Error>& damage() const;

  // Where the input is a pipe: a wait for more ends, and so does the input, once `fd` is readable.
  void end_on(int fd);

  std::optional<uint64_t> size() const;  // of the file, where it is one

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
