"""The only home of decoders, models and other heavy libraries; each is imported when it is first used."""
