// Feeds kept inputs to a fuzz target without libFuzzer: every file in the given directories, where
// they are there, and some inputs that every parser must take: nothing, and runs of one byte.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int main(int argc, char** argv) {
  namespace fs = std::filesystem;
  for (const uint8_t byte : {uint8_t{0x00}, uint8_t{0x45}, uint8_t{0x60}, uint8_t{0xff}}) {
    for (const size_t size : {0u, 1u, 4u, 16u, 20u, 28u, 40u, 100u, 1500u}) {
      // Exactly as large as said, so that a sanitizer sees the first byte beyond.
      const std::vector<uint8_t> input(size, byte);
      LLVMFuzzerTestOneInput(input.data(), input.size());
    }
  }
  size_t files = 0;
  for (int i = 1; i < argc; ++i) {
    if (!fs::is_directory(argv[i])) continue;
    for (const auto& entry : fs::directory_iterator(argv[i])) {
      std::ifstream file(entry.path(), std::ios::binary);
      const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
      if (!file) {
        std::fprintf(stderr, "%s cannot be read\n", entry.path().c_str());
        return EXIT_FAILURE;
      }
      std::printf("%s\n", entry.path().c_str());
      std::fflush(stdout);  // the last line names the input that ended the program
      const std::vector<uint8_t> input(bytes.begin(), bytes.end());
      LLVMFuzzerTestOneInput(input.data(), input.size());
      ++files;
    }
  }
  std::printf("%zu kept inputs\n", files);
  return EXIT_SUCCESS;
}
