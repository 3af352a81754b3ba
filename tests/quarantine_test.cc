#include "workers/quarantine.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <vector>

#include <gtest/gtest.h>

#include "core/capture.h"

namespace fettle {
namespace {

namespace fs = std::filesystem;

class QuarantineTest : public testing::Test {
 protected:
  void SetUp() override { fs::remove_all(folder_); }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path folder_ =
      fs::temp_directory_path() / ("fettle-quarantine-test" + std::to_string(getpid()));
};

TEST_F(QuarantineTest, APacketIsAFileThatOthersRead) {
  const std::vector<std::byte> bytes(20, std::byte{0x45});
  const auto path = quarantine(folder_ / "deep" / "er", 7, 42, bytes);
  ASSERT_TRUE(path) << path.error().message;
  EXPECT_NE(path->find("queue7-"), std::string::npos);
  EXPECT_TRUE(path->ends_with("-42.pcap"));
  EXPECT_EQ(fs::file_size(*path), 24u + 16u + 20u);
  EXPECT_EQ(fs::status(*path).permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(QuarantineTest, AFullFolderTakesNoMore) {
  fs::create_directories(folder_);
  for (size_t i = 0; i < kMostQuarantined; ++i) std::ofstream(folder_ / std::to_string(i)) << "x";
  const auto path = quarantine(folder_, 0, 1, {});
  ASSERT_FALSE(path);
  EXPECT_NE(path.error().message.find("64 files"), std::string::npos);
}

TEST_F(QuarantineTest, WhatIsNoFolderIsNamed) {
  std::ofstream(folder_.string()) << "a file";
  const auto path = quarantine(folder_, 0, 1, {});
  ASSERT_FALSE(path);
  EXPECT_NE(path.error().message.find(folder_.string()), std::string::npos);
}

}  // namespace
}  // namespace fettle
