"""How things look: colours, symbols, HTML and images, for the app and the report alike."""
