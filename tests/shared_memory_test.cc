#include "core/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace fettle {
namespace {

TEST(SharedMemoryTest, IsZeroedAndSharedWithWhoAdoptsIt) {
  const auto memory = SharedMemory::create(10000);
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->size(), 10000u);
  EXPECT_EQ(memory->data()[9999], std::byte{0});
  const auto again = SharedMemory::adopt(dup(memory->fd()));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->size(), 10000u);
  again->data()[5] = std::byte{1};
  EXPECT_EQ(memory->data()[5], std::byte{1});
}

TEST(SharedMemoryTest, NobodyChangesItsSize) {
  const auto memory = SharedMemory::create(8192);
  ASSERT_TRUE(memory);
  EXPECT_NE(ftruncate(memory->fd(), 4096), 0);
  EXPECT_NE(ftruncate(memory->fd(), 16384), 0);
  EXPECT_NE(fcntl(memory->fd(), F_ADD_SEALS, F_SEAL_WRITE), 0);
}

TEST(SharedMemoryTest, WhatCouldShrinkIsNotAdopted) {
  const int loose = memfd_create("loose", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  ASSERT_EQ(ftruncate(loose, 4096), 0);
  EXPECT_FALSE(SharedMemory::adopt(loose));
  EXPECT_LT(fcntl(loose, F_GETFD), 0) << "and is closed";
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  EXPECT_FALSE(SharedMemory::adopt(ends[0]));
  close(ends[1]);
}

}  // namespace
}  // namespace fettle
