// The documents' rule files are rule files, and the reference is what the vocabulary says.
#include "rules/reference.h"

#include <filesystem>
#include <fstream>
#include <iterator>

#include <gtest/gtest.h>

#include "rules/compile.h"
#include "rules/parse.h"
#include "rules/vocabulary.h"

namespace fettle {
namespace {

namespace fs = std::filesystem;
const fs::path kRoot = FETTLE_SOURCE_DIR;

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void expect_compiles(const std::string& text, const std::string& name) {
  Parsed parsed = parse_rules(text, name);
  std::vector<Diagnostic> diagnostics = parsed.diagnostics;
  const auto program = parsed.ok() ? compile(parsed.set, &diagnostics) : std::nullopt;
  EXPECT_TRUE(program) << text << "\n" << render(diagnostics, parsed.sources);
  if (!program) return;
  for (const PacketTest& test : parsed.tests) {
    const auto failure = run_test(*program, test, false);
    EXPECT_FALSE(failure) << render(failure->diagnostic, parsed.sources) << "\n"
                          << failure->details;
  }
}

TEST(ReferenceTest, IsWhatTheReadmeOfTheRulesHas) {
  EXPECT_EQ(read_file(kRoot / "rules/README.md"), reference_markdown())
      << "make it anew: fettle reference > rules/README.md";
}

TEST(ReferenceTest, HasAnExampleForEachKeyAndStepAndAllCompile) {
  const std::vector<std::string> examples = toml_examples(reference_markdown());
  EXPECT_EQ(examples.size(), 2 + match_keys().size() + steps().size());
  for (const std::string& example : examples) expect_compiles(example, "rules/README.md");
}

TEST(ReferenceTest, EveryExampleUsesWhatItStandsFor) {
  for (const KeyInfo& key : match_keys()) {
    EXPECT_TRUE(key.example.starts_with(std::string(key.name) + " = ")) << key.name;
  }
  for (const StepInfo& step : steps()) {
    EXPECT_NE(step.example.find(step.name), std::string_view::npos) << step.name;
  }
}

TEST(ReferenceTest, ExamplesOfTheReadmeCompile) {
  const std::vector<std::string> examples = toml_examples(read_file(kRoot / "README.md"));
  EXPECT_FALSE(examples.empty());
  for (const std::string& example : examples) expect_compiles(example, "README.md");
}

TEST(ReferenceTest, RecipesCompile) {
  int recipes = 0;
  for (const auto& entry : fs::directory_iterator(kRoot / "deploy/recipes")) {
    if (entry.path().extension() != ".toml") continue;
    ++recipes;
    expect_compiles(read_file(entry.path()), entry.path().string());
  }
  EXPECT_GT(recipes, 0);
}

TEST(ReferenceTest, FindsTheBlocksOfAText) {
  EXPECT_EQ(toml_examples("a\n```toml\nx = 1\ny = 2\n```\nb\n```sh\nls\n```\n```toml\nz = 3\n```"),
            (std::vector<std::string>{"x = 1\ny = 2", "z = 3"}));
}

}  // namespace
}  // namespace fettle
