"""Every remedy that a finding prints, as SQL that a test runs, or as the sentence that there is no online way."""
