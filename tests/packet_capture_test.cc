// Capture files as workers write them, read back by the capture reader.
#include "workers/packet_capture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "core/capture.h"
#include "core/raw_capture.h"
#include "tests/packet_builder.h"
#include "workers/capture_files.h"
#include "workers/clock.h"

namespace fettle {
namespace {

namespace fs = std::filesystem;
using testing::ByteVector;
using testing::filled;
using testing::PacketBuilder;

class PacketCaptureTest : public ::testing::Test {
 protected:
  PacketCaptureTest() {
    std::string name = fs::temp_directory_path() / "fettle-capture.XXXXXX";
    folder_ = mkdtemp(name.data());
  }
  ~PacketCaptureTest() override { fs::remove_all(folder_); }

  std::string path(const char* name) const { return folder_ / name; }
  static ByteVector packet(size_t payload) {
    return PacketBuilder("10.0.0.1", "10.0.0.2").udp(1, 2).payload(filled(payload)).build().bytes;
  }
  static void put(PacketCapture& capture, uint32_t file, ByteVector bytes) {
    capture.capture(file, parse({bytes.data(), bytes.size()}));
  }
  // Packets' bytes; every record has to be whole, of IP, and from now.
  static std::vector<ByteVector> read(const std::string& name) {
    std::vector<ByteVector> out;
    auto reader = CaptureReader::open(name);
    EXPECT_TRUE(reader) << reader.error().message;
    for (CapturePiece piece; reader && reader->read(&piece) && !piece.records.empty();) {
      for (const Record& record : piece.records) {
        if (record.frame.data() == nullptr) continue;
        EXPECT_EQ(record.link_type, raw_capture::kLinkType);
        EXPECT_EQ(record.original, record.frame.size());
        EXPECT_LE(record.time_ns, wall_now());
        EXPECT_GE(record.time_ns + 60'000'000'000, wall_now());
        out.emplace_back(record.frame.begin(), record.frame.end());
      }
    }
    EXPECT_FALSE(reader->damage()) << reader->damage()->message;
    return out;
  }

  fs::path folder_;
  LoopCounters counters_;
};

TEST_F(PacketCaptureTest, PacketsGoToTheirFilesInTheirOrder) {
  const auto files = CaptureFiles::open({path("a"), path("b")});
  ASSERT_TRUE(files);
  PacketCapture capture(files->fds(), &counters_);
  put(capture, 0, packet(1));
  put(capture, 1, packet(2));
  put(capture, 0, packet(1000));
  capture.flush();
  EXPECT_EQ(read(path("a")), (std::vector<ByteVector>{packet(1), packet(1000)}));
  EXPECT_EQ(read(path("b")), (std::vector<ByteVector>{packet(2)}));
  EXPECT_EQ(counters_.captured, 3u);
}

TEST_F(PacketCaptureTest, AFileIsGoneOnWithAndSharedByWriters) {
  for (int round = 0; round < 2; ++round) {
    const auto files = CaptureFiles::open({path("a")});
    ASSERT_TRUE(files);
    PacketCapture one(files->fds(), &counters_);
    PacketCapture other(files->fds(), &counters_);
    for (int i = 0; i < 100; ++i) {
      put(i % 2 ? one : other, 0, packet(static_cast<size_t>(i)));
      (i % 3 ? one : other).flush();
    }
    one.flush();
    other.flush();
    EXPECT_EQ(read(path("a")).size(), 100u * static_cast<size_t>(round + 1));
  }
}

TEST_F(PacketCaptureTest, TheFirstIsWrittenAtOnceAndUnderLoadNotEveryBatchIs) {
  const auto files = CaptureFiles::open({path("a")});
  ASSERT_TRUE(files);
  PacketCapture capture(files->fds(), &counters_);
  put(capture, 0, packet(1));
  capture.tick();
  EXPECT_EQ(read(path("a")).size(), 1u);
  const uint64_t begin = steady_now();
  put(capture, 0, packet(1));
  capture.tick();
  const size_t written = read(path("a")).size();
  if (steady_now() - begin < PacketCapture::kLongestStay / 2) {
    EXPECT_EQ(written, 1u);
  }
  for (int i = 0; i < 20; ++i) put(capture, 0, packet(60'000));  // more than half of the buffer
  capture.tick();
  EXPECT_EQ(read(path("a")).size(), 22u);
}

TEST_F(PacketCaptureTest, WhatDoesNotFitIsCountedAndTheRestIsWhole) {
  const auto files = CaptureFiles::open({path("a")});
  ASSERT_TRUE(files);
  PacketCapture capture(files->fds(), &counters_);
  const size_t most = PacketCapture::kBuffer / (raw_capture::kRecord + 28 + 60'000);
  for (size_t i = 0; i < most + 5; ++i) put(capture, 0, packet(60'000));
  capture.flush();
  EXPECT_EQ(read(path("a")).size(), most);
  EXPECT_EQ(counters_.captured, most);
  EXPECT_EQ(counters_.not_captured, 5u);
  put(capture, 0, packet(1));
  capture.flush();
  EXPECT_EQ(read(path("a")).size(), most + 1);
}

TEST_F(PacketCaptureTest, AFullDiskEndsTheCaptureAndNothingElse) {
  const int full = open("/dev/full", O_WRONLY);
  ASSERT_GE(full, 0);
  PacketCapture capture(std::span(&full, 1), &counters_);
  put(capture, 0, packet(1));
  capture.flush();
  put(capture, 0, packet(1));
  capture.flush();
  EXPECT_EQ(counters_.captured, 0u);
  EXPECT_EQ(counters_.not_captured, 2u);
  close(full);
}

TEST_F(PacketCaptureTest, WhatIsNoSuchFileIsRefused) {
  const auto refusal = [&](const char* name) {
    const auto files = CaptureFiles::open({path(name)});
    return files ? "taken" : files.error().message;
  };
  std::ofstream(path("text")) << "a text, of more than a header's 24 bytes";
  std::ofstream(path("short")) << "x";
  mkfifo(path("pipe").c_str(), 0600);
  fs::create_directory(path("folder"));
  EXPECT_EQ(refusal("text"), "capture: " + path("text") +
                                 " begins with 61207465, expected no file, an empty one, or a "
                                 "capture of IP packets with nanoseconds, as this step makes "
                                 "them, to go on with");
  EXPECT_NE(refusal("short").find("begins with 78, expected"), std::string::npos);
  EXPECT_NE(refusal("pipe").find("is no regular file"), std::string::npos) << refusal("pipe");
  EXPECT_NE(refusal("folder").find("cannot open"), std::string::npos);
  EXPECT_NE(refusal("no/such").find("No such file or directory"), std::string::npos);
  EXPECT_EQ(fs::file_size(path("text")), 40u) << "left alone";
}

}  // namespace
}  // namespace fettle
