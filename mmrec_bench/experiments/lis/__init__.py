"""The probe LIS: what the future would bring a CTR model."""
